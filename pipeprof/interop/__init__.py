"""Traces of TensorFlow's profiler, in and out: read into stages, and written so that XProf opens them with ours.

Two public functions read: ``xplane.read_space`` (file or bytes to plain events) and ``trace_stages.read_windows`` (events to
pipelines as they ran). One writes: ``tensorboard.write_logdir``. It must never import the tensorflow package or xprof: a
trace is read on machines, and in processes, where neither may be loaded. Nothing here judges.
"""
