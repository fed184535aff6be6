"""Runs accord top on a pseudo-terminal beside a run that grows, and checks what a person would see there.
usage: top_pty.py PROGRAM SCENARIO RUN-FOLDER STORY"""
import fcntl, os, pty, re, select, shutil, signal, struct, sys, termios, time

program, scenario, run, story = sys.argv[1:5]
with open(story) as f:
    lines = f.read().splitlines(True)
telemetry = os.path.join(run, "telemetry.jsonl")
shutil.rmtree(run, ignore_errors=True)
os.makedirs(run)


def put(name, text):
    with open(os.path.join(run, name), "a") as f:
        f.write(text)


put("run.json", '{"id":"x","state":"training","total_steps":40}\n')
put("telemetry.jsonl", "".join(lines[:3]))
put("metrics.jsonl", '{"event":"step","step":9,"loss":2.5,"seconds":1}\n')

pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))    # before its first frame
    os.environ["TERM"] = "xterm"
    os.environ.pop("NO_COLOR", None)
    os.execv(program, [program, "top", run])
seen = b""
status = None


def until(what, seconds=15):
    """Reads until the pattern was shown; what came before it is forgotten."""
    global seen, status
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = re.search(what, seen, re.S)
        if found:
            before, seen = seen[: found.end()], seen[found.end() :]
            return before
        if select.select([fd], [], [], 0.1)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:
                break
    sys.exit("not shown: %r; shown was %r" % (what, seen[-1500:]))


def over(code, sig=0):
    for _ in range(150):
        done, st = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        sys.exit("top does not end")
    got = (os.WEXITSTATUS(st) if os.WIFEXITED(st) else None, os.WTERMSIG(st) if os.WIFSIGNALED(st) else 0)
    if got != (code, sig):
        sys.exit("ended with exit %r, signal %r" % got)


def widest(frame):
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", frame).decode().replace("\r", "")
    return max(len(row) for row in text.split("\n"))


def echo():
    return bool(termios.tcgetattr(fd)[3] & termios.ECHO)


until(rb"\x1b\[\?1049h\x1b\[\?25l")
until(rb"green.*9/40.*2\.5.*870 B of 1000 B")
if echo():
    sys.exit("keys are echoed into the screen")
back = rb"\x1b\[\?25h\x1b\[\?1049l"

if scenario == "end":
    put("telemetry.jsonl", "".join(lines[3:8]))
    put("metrics.jsonl", '{"event":"step","step":10,"loss":1.25,"seconds":1}\n')
    frame = until(rb"\x1b\[1;33myellow.*10/40.*micro-batch 4.*of 8.*micro-batch 4 instead of 8")
    if widest(frame) > 70:
        sys.exit("wider than the screen: %r" % frame)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
    for _ in range(20):                          # frames of before may still be on their way
        frame = until(rb"\x1b\[H.*?\x1b\[J")
        if widest(frame) <= 30:
            break
    else:
        sys.exit("wider than the narrow screen: %r" % frame)
    put("telemetry.jsonl", "".join(lines[8:12]))
    until(back)
    until(rb"ended with exit 75")                # the last frame stays on the usual screen
    over(0)
elif scenario == "key":
    os.write(fd, b"xq")
    until(back)
    over(0)
elif scenario == "interrupt":
    os.write(fd, b"\x03")
    until(back)
    over(0)
elif scenario == "term":
    os.kill(pid, signal.SIGTERM)
    until(back)
    for _ in range(150):
        if echo():
            break
        time.sleep(0.1)
    else:
        sys.exit("the terminal's settings are not given back")
    over(None, signal.SIGTERM)
elif scenario == "bad":
    put("telemetry.jsonl", '{"k":"sample","t":"late"}\n')
    until(back)
    until(rb'telemetry.jsonl:4: "t" must be a number')
    over(65)
