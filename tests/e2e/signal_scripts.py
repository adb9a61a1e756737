"""Scripts that answer signals, each at once: also one that comes just before they wait for a line.

Python handles a signal between two of its own instructions. One that is delivered after the last of them, but before the
``read`` of ``input()`` has begun, is handled when a line has come: under python as under pipeprof. So these scripts wait for a
line and for signals together, as the documentation of ``signal.set_wakeup_fd`` has it.

Each line is one write, past python's buffer: a handler that interrupts a ``print`` may not print itself ("reentrant call"), and
at a terminal nothing can come in between.
"""

LINES = """
import os, select, signal, sys

def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")

def lines():
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    text = b""
    while True:
        ready = select.select([0, wake], [], [])[0]
        if wake in ready:
            os.read(wake, 512)
        if 0 in ready:
            more = os.read(0, 512)
            if not more:
                return
            *whole, text = (text + more).split(b"\\n")
            yield from (line.decode() for line in whole)
"""

COUNTS = (
    LINES
    + """
counts = {name: 0 for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")}
def count(number, frame):
    counts[signal.Signals(number).name] += 1
    say("got", signal.Signals(number).name, counts[signal.Signals(number).name])
for name in counts:
    signal.signal(getattr(signal, name), count)
say("ready")
for line in lines():
    say("read", line, sum(counts.values()))
    if line == "end":
        break
sys.exit(sum(counts.values()))
"""
)
