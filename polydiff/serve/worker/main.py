"""The worker: the process of a server that loads models and computes one job at a time.

`python -m polydiff.serve.worker.main` sends and takes the messages of `channel` on stdin and stdout. It ends when the
server does.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import threading
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polydiff.serve.limits import Limits
from polydiff.serve.schema import Sampling
from polydiff.serve.worker.channel import Channel, Message
from polydiff.support.errors import UserError, one_line

if TYPE_CHECKING:
    from polydiff.model.model import Model
    from polydiff.pipeline.chain import Chain
    from polydiff.serve.worker.meter import Meter


class Worker:
    """The models, and the job that is computed.

    Arguments:
        channel: To the server.
        order: The message "load".
    """

    def __init__(self, channel: Channel, order: Message) -> None:
        from polydiff.core import extensions
        from polydiff.gallery.page import scripts_of
        from polydiff.serve.worker.cards import card, load_models

        self.channel, self.limits = channel, Limits.of(order["limits"])
        self.meter: Meter | None = None
        self.stops: dict[str, threading.Event] = {}
        for module in order["plugins"]:
            extensions.load(module)
        self.models = load_models(order["runs"], order["weights"], order["ema"])
        for model in self.models.values():
            self.watch(model)
        cards = [card(name, model) for name, model in self.models.items()]
        scripts = {name: dict(scripts_of(model.domain)) for name, model in self.models.items()}
        channel.send("ready", cards=cards, scripts=scripts)

    def watch(self, model: Model | Chain) -> None:
        """Let the meter of a job be called before each call of a model's networks."""
        from polydiff.pipeline.chain import Chain

        for one in model.stages.values() if isinstance(model, Chain) else [model]:
            network = getattr(one.denoiser, "backbone", one.denoiser)  # a process may call methods of the outer one
            network.register_forward_pre_hook(self.called)

    def called(self, *_: object) -> None:
        """Count a call of a network."""
        if self.meter is not None:
            self.meter()

    def stop(self, job: str) -> None:
        """Stop a job, now or when its turn comes; called by the thread that reads messages."""
        self.stops.setdefault(job, threading.Event()).set()

    def compute(self, message: Message) -> None:
        """Compute a job and report how it ended."""
        from polydiff.serve.worker.draw import perform
        from polydiff.serve.worker.meter import Meter, Stopped

        number = message["id"]
        stop = self.stops.setdefault(number, threading.Event())
        self.meter = Meter(lambda share: self.channel.send("progress", id=number, share=share), stop)
        folder = Path(message["folder"])
        try:
            with warnings.catch_warnings(record=True) as noted:
                warnings.simplefilter("always")
                given = perform(message["job"], self.models[message["model"]], folder, self.meter, self.limits)
            notes = list(dict.fromkeys(str(one.message) for one in noted if one.category is UserWarning))
            self.channel.send("done", id=number, notes=notes, given=given)
        except Stopped:
            self.channel.send("stopped", id=number)
        except UserError as error:
            self.channel.send("wrong", id=number, message=in_fields(str(error)))
        except Exception as error:  # noqa: BLE001 - an error of one job must not end the others
            traceback.print_exc()
            self.channel.send("broken", id=number, message=one_line(error))
        finally:
            self.meter = None
            self.stops.pop(number, None)


def in_fields(message: str) -> str:
    """Return a message about the configuration or the command line as one about fields of requests.

    Keys of the section `sample` become those of `sampling`; advice to name a module is left out.
    """
    from polydiff.core import extensions

    text = re.sub(rf"\bsample\.(?={'|'.join(Sampling.model_fields)})", "sampling.", message)
    return text.replace(extensions.HINT, "").strip()


def receive(channel: Channel, orders: queue.Queue[Message], stop: Any) -> None:
    """Put orders into a queue; end the process when the server is gone.

    Arguments:
        channel: To the server.
        orders: Receives all messages but "stop".
        stop: Called with the id of a job that should stop.
    """
    for message in channel.messages():
        if message["what"] == "stop":
            stop(message["id"])
        else:
            orders.put(message)
    os._exit(0)  # the result of a running job has no reader


def main() -> None:
    """Load the models of the first message, then compute jobs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server, which ends its worker
    channel = Channel()
    orders: queue.Queue[Message] = queue.Queue()
    workers: list[Worker] = []

    def stop(job: str) -> None:
        for worker in workers:
            worker.stop(job)

    threading.Thread(target=receive, args=(channel, orders, stop), daemon=True).start()
    try:
        worker = Worker(channel, orders.get())
    except UserError as error:
        channel.send("failed", message=str(error))
        return
    workers.append(worker)
    while True:
        worker.compute(orders.get())


if __name__ == "__main__":
    main()
