"""Several processes for one application: gunicorn's arbiter, with the ends changed that lose requests.

`run_workers` is what the command does instead of `loop.run` for `--workers`, recycling and `--daemon`. Not here:
what a worker does while it serves (service/worker.py).

What differs from gunicorn's own:

* A worker is told to end only when its successor serves: at HUP as well as when it is recycled.
* A worker that does not start never ends a service that has been up: the old ones serve on, further ones are
  tried at growing intervals.
* Sockets are opened by our endpoints. At the end they are given up before the drain, or after the delay in which
  a load balancer learns of it.
* "Ready" is said when a worker serves, not when the arbiter runs. There is no control socket.
"""

from container.service.workers.run import run_workers
from container.service.workers.settings import WorkerSettings
from container.service.workers.upgrade import is_successor

__all__ = ["WorkerSettings", "is_successor", "run_workers"]
