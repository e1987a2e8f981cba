"""A migration as data: its steps in order, each with its check, act and undo. The engine that walks them is `workflow`.

Undone from the last to the first when something fails before the commit; after it nothing is undone.
"""

from intercloud.migration.steps import cold, finish, live, prepare, switch, warm
from intercloud.migration.world import World
from intercloud.model.strategy import Strategy
from intercloud.workflow.step import Step

LIVE: tuple[Step[World], ...] = (
    Step("base images", prepare.send_images, check=prepare.check_plan, undo=prepare.remove_images),
    Step("landing", live.land, undo=live.unland),
    Step("disks", live.mirror_disks, undo=live.unmirror_disks),
    Step("memory", live.copy_memory, undo=live.cancel_memory),
    Step("switchover", switch.switch_over),
    Step("settle", switch.settle_target),
    Step("verify", finish.verify),
    Step("release", finish.release),
)
COLD: tuple[Step[World], ...] = (
    Step("base images", prepare.send_images, check=prepare.check_plan, undo=prepare.remove_images),
    Step("stop", cold.stop, undo=cold.start_again),
    Step("disks", cold.copy, undo=cold.remove),
    Step("boot", cold.boot),
    Step("verify", cold.verify),
    Step("release", finish.release),
)
WARM: tuple[Step[World], ...] = (
    Step("base images", prepare.send_images, check=prepare.check_plan, undo=prepare.remove_images),
    Step("running disks", warm.copy_running, undo=cold.remove),
    Step("stop", cold.stop, undo=cold.start_again),
    Step("last delta", cold.copy),
    Step("boot", cold.boot),
    Step("verify", cold.verify),
    Step("release", finish.release),
)
ITINERARIES: dict[str, tuple[Step[World], ...]] = {Strategy.LIVE: LIVE, Strategy.WARM: WARM, Strategy.COLD: COLD}
