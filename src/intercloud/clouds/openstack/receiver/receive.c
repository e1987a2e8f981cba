/* Writes a patch, which lies behind the partition that this system booted from, to the disk that it is for.
 *
 *     receive write     writes it, unless it was written before; ends with 2 while the disks are not there yet, with 1 when it cannot be done
 *     receive read      copies what the disk now holds at the patch's places to standard output
 *     receive token     tells the patch's name
 *
 * build.py says how a patch is laid out. The disk is known by its first sector: that of a disk which must not boot yet,
 * with its owner's name in it, or the patch's own when it was written before. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

enum { SECTOR = 512, PATCH_AT = 25 << 20, PIECE = 1 << 20, OWNER_AT = 16, NOT_YET = 2 };

static struct {
    char magic[16], owner[48], token[32];
    uint64_t count, data_at;
} patch;
static struct extent {
    uint64_t start, length;
} *extents;
static bool written;
static char piece[PIECE];

static void die(const char *what)
{
    fprintf(stderr, "receive: %s: %m\n", what);
    exit(1);
}

/* Reads or writes it all; where a device ends, so does the program. */
static void whole(ssize_t (*act)(int, void *, size_t, off_t), int fd, char *data, size_t size, uint64_t at, const char *what)
{
    while (size) {
        ssize_t done = act(fd, data, size, (off_t)at);
        if (done <= 0)
            die(what);
        data += done;
        at += (uint64_t)done;
        size -= (size_t)done;
    }
}

static ssize_t put(int fd, void *data, size_t size, off_t at)
{
    return pwrite(fd, data, size, at);
}

static bool is_patch(int fd)
{
    return pread(fd, &patch, sizeof patch, PATCH_AT) == sizeof patch && !memcmp(patch.magic, "intercloud patch", 16);
}

/* The device for which this is true; -1 when there is none. */
static int find(bool (*is_it)(int), int mode)
{
    for (const char *kind = "vs"; *kind; kind++)
        for (char letter = 'a'; letter <= 'h'; letter++) {
            char path[] = "/dev/?d?";
            path[5] = *kind;
            path[7] = letter;
            int fd = open(path, mode);
            if (fd >= 0 && is_it(fd))
                return fd;
            if (fd >= 0)
                close(fd);
        }
    return -1;
}

static int source;

static bool is_disk(int fd)
{
    char first[SECTOR], wanted[SECTOR];
    if (pread(fd, first, SECTOR, 0) != SECTOR)
        return false;
    if (!memcmp(first + OWNER_AT, patch.owner, sizeof patch.owner))
        return true;
    if (!patch.count || extents[0].start)
        return false;
    whole(pread, source, wanted, SECTOR, patch.data_at, "the patch");
    return written = !memcmp(first, wanted, SECTOR);
}

static size_t piece_of(uint64_t left)
{
    return left < PIECE ? (size_t)left : PIECE;
}

/* Backwards, the first sector last and alone: when it is there, so is all that follows it. */
static void write_all(int disk)
{
    uint64_t from = patch.data_at;
    for (uint64_t n = 0; n < patch.count; n++)
        from += extents[n].length;
    for (uint64_t n = patch.count; n-- > 0;) {
        for (uint64_t left = extents[n].length; left;) {
            uint64_t apart = n == 0 && left > SECTOR ? SECTOR : 0;
            size_t size = piece_of(left - apart);
            if (n == 0 && !apart && fsync(disk))
                die("the disk");
            left -= size;
            from -= size;
            whole(pread, source, piece, size, from, "reading the patch");
            whole(put, disk, piece, size, extents[n].start + left, "writing");
        }
    }
    if (fsync(disk) || ioctl(disk, BLKFLSBUF)) /* what is read back comes from the disk itself */
        die("the disk");
}

int main(int argc, char **argv)
{
    const char *task = argc > 1 ? argv[1] : "";
    if ((source = find(is_patch, O_RDONLY)) < 0)
        return NOT_YET;
    if (!strcmp(task, "token")) {
        printf("%.32s\n", patch.token);
        return 0;
    }
    if (!(extents = calloc(patch.count + 1, sizeof *extents)))
        die("the patch's table");
    whole(pread, source, (char *)extents, patch.count * sizeof *extents, PATCH_AT + SECTOR, "the patch's table");
    int disk = find(is_disk, O_RDWR);
    if (disk < 0)
        return NOT_YET;
    if (!strcmp(task, "write")) {
        if (!written)
            write_all(disk);
        return 0;
    }
    for (uint64_t n = 0; n < patch.count; n++)
        for (uint64_t done = 0; done < extents[n].length;) {
            size_t size = piece_of(extents[n].length - done);
            whole(pread, disk, piece, size, extents[n].start + done, "reading the disk");
            if (fwrite(piece, 1, size, stdout) != size)
                die("standard output");
            done += size;
        }
    return fflush(stdout) ? 1 : 0;
}
