"""Each action of the table and the function that does it. All are safe to repeat, by this process or by another."""

from collections.abc import Callable, Iterable, Mapping

from intercloud.migration.settle import Action
from intercloud.migration.steps import back, cold, finish, live, prepare, switch, warm
from intercloud.migration.world import World
from intercloud.model.strategy import Strategy

Act = Callable[[World, Iterable[str]], None]

_ALWAYS: Mapping[Action, Act] = {
    Action.IMAGES: prepare.send_images,
    Action.FENCE: back.fence,
    Action.TURN: back.turn,
    Action.TURN_BACK: back.turn_back,
    Action.CLEAN: back.clean,
    Action.START_SOURCE: back.start_source,
    Action.START_TARGET: back.start_target,
    Action.ADOPT: finish.adopt,
    Action.VERIFY: finish.verify,
    Action.RELEASE: finish.release,
    Action.MOVED: finish.leave_source,
    Action.STAYS: prepare.leave_target,
}
_COLD: Mapping[Action, Act] = {
    **_ALWAYS,
    Action.LAND: cold.land,
    Action.STOP: cold.stop,
    Action.DELTA: cold.copy,
    Action.COMMIT: cold.commit,
}
ACTS: Mapping[Strategy, Mapping[Action, Act]] = {
    Strategy.LIVE: {
        **_ALWAYS,
        Action.LAND: live.land,
        Action.MIRROR: live.mirror_disks,
        Action.COPY: live.copy_memory,
        Action.SWITCH: switch.switch_over,
        Action.LET_RUN: switch.let_run,
        Action.THAW: back.thaw,
    },
    Strategy.WARM: {**_COLD, Action.ROUNDS: warm.copy_running},
    Strategy.COLD: _COLD,
}
