/* What every role serves: echo on port 7 (UDP and TCP), and the guest's own state on port 8080. */
#ifndef EVERY_H
#define EVERY_H

void serve_every_role(void);
void count_for_ever(void);
#endif
