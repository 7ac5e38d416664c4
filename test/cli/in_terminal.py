"""Runs a program in a terminal of its own: argv is columns, rows and the program.

What it writes to its terminal comes out here; what goes in here is typed there. Ends as the program does.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios

columns, rows, *program = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    # Known before the program looks at it.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
    os.execvp(program[0], program)
typed = True
while True:
    ready, _, _ = select.select([terminal, 0] if typed else [terminal], [], [])
    if terminal in ready:
        try:
            shown = os.read(terminal, 65536)
        except OSError:
            break
        if not shown:
            break
        os.write(1, shown)
    if typed and 0 in ready:
        text = os.read(0, 4096)
        if text:
            os.write(terminal, text)
        else:
            typed = False
_, status = os.waitpid(pid, 0)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
