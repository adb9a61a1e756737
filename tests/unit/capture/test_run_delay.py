"""The run delay of all threads, from the kernel's own files."""

from pipeprof.capture.run_delay import RunDelay


def write(proc, **delays):
    for thread in (proc / "self" / "task").glob("*"):
        (thread / "schedstat").unlink()
        thread.rmdir()
    for thread, delay in delays.items():
        folder = proc / "self" / "task" / thread
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(f"123 {delay} 7\n")


def test_waits_of_all_threads_are_summed_from_the_construction_on(tmp_path):
    write(tmp_path, t1=1_000_000_000, t2=5_000_000_000)
    delay = RunDelay(tmp_path)

    write(tmp_path, t1=1_500_000_000, t2=5_250_000_000)

    assert delay.sample() == 0.75
    assert delay.is_known


def test_a_new_thread_counts_whole_and_an_ended_one_keeps_what_it_had(tmp_path):
    write(tmp_path, t1=2_000_000_000)
    delay = RunDelay(tmp_path)
    write(tmp_path, t1=2_500_000_000, t2=100_000_000)
    delay.sample()

    write(tmp_path, t3=50_000_000)

    assert delay.sample() == 0.65


def test_a_kernel_without_the_counter_leaves_it_unknown(tmp_path):
    delay = RunDelay(tmp_path / "nowhere")

    assert delay.sample() == 0.0
    assert not delay.is_known
