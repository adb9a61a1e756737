"""Little scripts whose output, errors and status have to be the same under pipeprof as under python."""

PROBE = """
import os, sys, signal, threading, warnings
os.chdir("/")
main = sys.modules["__main__"]
print(sys.argv, sys.orig_argv[1:], sys.path, sys.flags, sys.warnoptions)
print(list(globals()), __name__, __file__, __spec__, __package__, __cached__, __doc__, __annotations__, type(__loader__))
print(os.path.exists(__file__), __loader__.name, __loader__.path, main.__dict__ is globals(), __builtins__)
print(sorted((k, v) for k, v in os.environ.items()))
print([str(signal.getsignal(s)) for s in sorted(signal.valid_signals())], signal.pthread_sigmask(0, []))
print(threading.current_thread(), threading.main_thread() is threading.current_thread())
print(warnings.filters)
print(sys.stdin.fileno(), sys.stdout.line_buffering, sys.stdout.write_through, sys.stderr.write_through, sys.stdout.encoding)
print(sys.excepthook is sys.__excepthook__, sys.displayhook, sys.gettrace(), sys.getprofile(), sys.getrecursionlimit())
print(hasattr(sys, "last_value"), sys.exc_info(), sys.getswitchinterval(), __debug__)
print(os.getpgrp() == os.getpgid(os.getppid()), sorted(int(f) for f in os.listdir("/proc/self/fd"))[:3])
"""

SCRIPTS = {
    "probe": PROBE,
    "exception": "def f(x):\n    return 1 / x\n\nprint('before')\nf(0)\n",
    "exception group": "raise ExceptionGroup('several', [ValueError(1), TypeError('two')])",
    "notes and causes": """
try:
    {}['k']
except KeyError as error:
    later = RuntimeError('later'); later.add_note('a note'); later.add_note('another')
    raise later from error
""",
    "context": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    {}[0]\n",
    "own exception class": "class Odd(Exception):\n    def __str__(self): return 'odd\\nlines'\nraise Odd",
    "exception whose text fails": "class Bad(Exception):\n    def __str__(self): raise ValueError\nraise Bad",
    "syntax error": "print('never')\nx = (1,\n",
    "indentation error": "if True:\nx = 1\n",
    "syntax error raised at run time": "exec('x = (')",
    "syntax warning": "x = 1 is 1\nprint(x)\n",
    "replaced excepthook": "import sys\nsys.excepthook = lambda k, v, t: print('hook', k, v, t.tb_lineno, t.tb_next)\n1 / 0",
    "failing excepthook": "import sys\ndef hook(k, v, t):\n    raise KeyError('hook')\nsys.excepthook = hook\n1 / 0",
    "exiting excepthook": "import sys\nsys.excepthook = lambda k, v, t: sys.exit(7)\n1 / 0",
    "excepthook of no use": "import sys\nsys.excepthook = None\n1 / 0",
    "deleted excepthook": "import sys\ndel sys.excepthook\n1 / 0",
    "exception in a thread": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='t')\n"
    "t.start(); t.join(); print('on')",
    "exception in atexit": "import atexit\natexit.register(lambda: 1 / 0)\nprint('end')",
    "exception in a finaliser": "class A:\n    def __del__(self): print('gone', __name__)\na = A()\nb = [a]\n",
    "exit without a status": "import sys\nsys.exit()",
    "exit 3": "import sys\nprint('x')\nsys.exit(3)",
    "exit true": "import sys\nsys.exit(True)",
    "exit with a text": "import sys\nsys.exit('a reason')",
    "exit with an object": "import sys\nclass A:\n    def __repr__(self): return 'r'\n"
    "    def __str__(self): return 's'\nsys.exit(A())",
    "exit with a tuple": "import sys\nsys.exit((1, 2))",
    "exit with 256": "import sys\nsys.exit(256)",
    "exit with -1": "import sys\nsys.exit(-1)",
    "exit with 2**40+5": "import sys\nsys.exit(2**40 + 5)",
    "exit with 10**30": "import sys\nsys.exit(10**30)",
    "exit by builtin": "exit('bye')",
    "exit from a function with finally": "import sys\ntry:\n    sys.exit(4)\nfinally:\n    print('finally')\n",
    "exit with stderr closed": "import sys\nsys.stderr = None\nsys.exit('lost')",
    "os._exit": "import os, sys\nprint('seen', flush=True)\nos._exit(4)",
    "os._exit in atexit": "import atexit, os\natexit.register(os._exit, 9)\nprint('a', flush=True)",
    "exit status changed in atexit": "import atexit, sys\natexit.register(lambda: sys.exit(5))\nprint('a')",
    "keyboard interrupt raised": "print('a')\nraise KeyboardInterrupt",
    "keyboard interrupt by signal": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)",
    "keyboard interrupt and atexit": "import atexit, sys\natexit.register(lambda: "
    "print('last', sys.excepthook is sys.__excepthook__, sys.last_value.__traceback__.tb_lineno))\nraise KeyboardInterrupt",
    "terminated": "import os, signal, time\nprint('a', flush=True)\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(30)",
    "terminated with a handler": "import os, signal, sys\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(33))\n"
    "os.kill(os.getpid(), signal.SIGTERM)\nprint('not reached')",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "hung up": "import os, signal\nos.kill(os.getpid(), signal.SIGHUP)",
    "aborted": "import os\nos.abort()",
    "segmentation fault": "import ctypes, os\nprint('a', flush=True)\nctypes.string_at(0)",
    "input": "print(input('name? '))\nprint(input())",
    "stdin to its end": "import sys\nprint(sys.stdin.read().upper(), end='')",
    "stdin as bytes": "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])",
    "end of input": "while True:\n    print(input())",
    "closed stdout": "import sys\nprint('a')\nsys.stdout.close()",
    "unflushed output and error": "import sys\nsys.stdout.write('out')\nsys.stderr.write('err')\nsys.stdout.write('more')",
    "replaced stdout": "import io, sys\nsys.stdout = io.StringIO()\nprint('nowhere')\nsys.__stdout__.write('here')",
    "full device": "import sys, os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\nprint('a')",
    "atexit order": "import atexit\natexit.register(print, 1)\natexit.register(print, 2)\nprint(0)",
    "names in atexit": "import atexit\natexit.register(lambda: print(sorted(k for k in globals() if k.startswith('__'))))",
    "names in atexit after an exit": "import atexit, sys\natexit.register(lambda: print(sorted(globals())))\nsys.exit(2)",
    "names in atexit after an error": "import atexit\natexit.register(lambda: print(sorted(globals())))\n1 / 0",
    "late pickling": """
import atexit, pickle, threading, time
class Thing:
    pass
def work():
    threading.main_thread().join()
    print(type(pickle.loads(pickle.dumps(Thing()))))
atexit.register(lambda: print('atexit', pickle.loads(pickle.dumps(Thing())).__class__.__module__))
threading.Thread(target=work).start()
""",
    "thread that outlives the main thread": """
import threading, time
def work():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    print('still here', flush=True)
threading.Thread(target=work).start()
print('main is done', flush=True)
""",
    "daemon thread": "import threading, time\nthreading.Thread(target=time.sleep, "
    "args=(60,), daemon=True).start()\nprint('end')",
    "executor left open": "from concurrent.futures import ThreadPoolExecutor\np = ThreadPoolExecutor(2)\n"
    "print(p.submit(int, '3').result())",
    "executor still at work": "from concurrent.futures import ThreadPoolExecutor\nimport time\np = ThreadPoolExecutor(2)\n"
    "p.submit(lambda: (time.sleep(0.3), print('late')))\nprint('main')",
    "fork": "import os\npid = os.fork()\nif pid:\n    print('parent', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    "else:\n    raise SystemExit(5)\n",
    "fork that comes out at the end": "import os, sys\nprint('once', flush=True)\npid = os.fork()\n"
    "if pid:\n    print(os.waitpid(pid, 0)[1], flush=True)\nelse:\n    print('child', flush=True)\n",
    "environment of children": "import os, subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import os, sys;"
    " print(sorted(os.environ.items()), sys.path)'], capture_output=True).stdout)",
    "warning beyond the stack": "import warnings\nwarnings.warn('far', stacklevel=2)\n"
    "warnings.warn('farther', UserWarning, stacklevel=9)\n"
    "warnings.warn('old', DeprecationWarning, stacklevel=3)\nwarnings.warn('mine', DeprecationWarning)\n",
    "exec of another program": "import os, sys\nprint('a', flush=True)\n"
    "os.execv(sys.executable, [sys.executable, '-c', 'print(2); exit(6)'])",
    "asyncio": "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    print('async')\n"
    "    raise ValueError\nasyncio.run(main())",
    "coding cookie": "# -*- coding: latin-1 -*-\nprint(ascii('é'))\n",
    "dataclass and annotations": "from __future__ import annotations\nimport dataclasses, typing\n@dataclasses.dataclass\n"
    "class A:\n    x: int = 1\ny: int = 2\nprint(A(), typing.get_type_hints(A), __annotations__)",
    "no future leaks in": "def f(x: 1 + 1): pass\nprint(f.__annotations__)",
    "inspected source": "import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f), inspect.getsourcefile(f))",
}

_POOL = """
import multiprocessing as mp
import sys

class Thing:
    def __init__(self, x):
        self.x = x

def work(x):
    return Thing(x * x), __name__, sys.argv

if __name__ == "__main__":
    with mp.get_context({method!r}).Pool(2) as pool:
        for thing, name, argv in pool.map(work, range(3)):
            print(thing.x, name, argv)
"""
_PROCESS = """
import multiprocessing as mp

def work(queue):
    queue.put(__name__)
    raise SystemExit(3)

if __name__ == "__main__":
    mp.set_start_method({method!r})
    queue = mp.Queue()
    process = mp.Process(target=work, args=(queue,))
    process.start()
    print(queue.get())
    process.join()
    print(process.exitcode)
"""
for _method in ("fork", "spawn", "forkserver"):
    SCRIPTS[f"pool by {_method}"] = _POOL.format(method=_method)
    SCRIPTS[f"process by {_method}"] = _PROCESS.format(method=_method)
