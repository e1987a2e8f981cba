"""The commands `intercloud lab up|status|down`."""

import argparse
import sys
from pathlib import Path

from intercloud import bootstrap
from intercloud.cli import values
from intercloud.model.site import Tunnel
from intercloud.settings import Settings, load


def add_commands(command: argparse.ArgumentParser) -> None:
    """Describe them."""
    acts = command.add_subparsers(dest="act_name", required=True, metavar="up|status|down")
    up = acts.add_parser("up", help="make the lab, or repair it; safe to repeat")
    up.add_argument("--wan-delay", type=values.seconds, metavar="TIME", help="one way, as 25ms")
    up.add_argument("--wan-rate", type=values.rate, metavar="RATE", help="as 400mbit")
    up.add_argument("--wan-loss", type=values.share, metavar="PERCENT", help="as 0.5%%")
    up.add_argument("--tunnel", type=Tunnel, choices=tuple(Tunnel), metavar="vxlan|gre")
    up.set_defaults(act=_up)
    acts.add_parser("status", help="show what runs where").set_defaults(act=_status)
    acts.add_parser("down", help="remove every process, namespace, device and file").set_defaults(act=_down)
    for each in acts.choices.values():
        each.add_argument("--name", metavar="LAB", help="default: the configuration's, else 'demo'")
        each.add_argument("--config", type=Path, metavar="FILE", help="default: config.json, else the lab's defaults")


def _settings(options: argparse.Namespace) -> Settings:
    settings = load(options.config)
    wan = {
        "delay_ms": getattr(options, "wan_delay", None) and options.wan_delay * 1e3,
        "rate_mbit": getattr(options, "wan_rate", None) and options.wan_rate / 1e6,
        "loss_percent": getattr(options, "wan_loss", None) and options.wan_loss * 100,
    }
    changed = settings.lab.wan.model_copy(update={name: value for name, value in wan.items() if value is not None})
    lab = settings.lab.model_copy(update={"wan": changed, **({"name": options.name} if options.name else {})})
    tunnel = getattr(options, "tunnel", None)
    sdn = settings.sdn.model_copy(update={"tunnel": tunnel} if tunnel else {})
    return settings.model_copy(update={"lab": lab, "sdn": sdn})


def _up(options: argparse.Namespace) -> int:
    settings = _settings(options)
    bootstrap.lab_up(settings, lambda line: sys.stderr.write(f"{line}\n"))
    return _show(settings)


def _status(options: argparse.Namespace) -> int:
    return _show(_settings(options))


def _show(settings: Settings) -> int:
    lines, healthy = bootstrap.lab_status(settings)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if healthy else 1


def _down(options: argparse.Namespace) -> int:
    settings = _settings(options)
    bootstrap.lab_down(settings)
    sys.stdout.write(f"lab {settings.lab.name} is down\n")
    return 0
