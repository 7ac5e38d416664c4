"""Runs commands of OpenStack's own clients one after the other, in one process: each takes seconds to start by itself.

Usage: openstack_commands.py URL TOKEN... < commands.json

A command is a list: the program, the place of its token, and its arguments; `$name` stands for the id that an earlier one
had. It may begin with `name=`, to be called so. Writes a list of [code, output, errors] as JSON.
"""

import contextlib
import io
import json
import re
import sys
import warnings

warnings.simplefilter("ignore")

import glanceclient.shell  # noqa: E402
import openstackclient.shell  # noqa: E402


def glance(url, token, arguments):
    options = ["--os-image-url", url, "--os-auth-token", token]
    glanceclient.shell.OpenStackImagesShell().main(options + arguments)


def openstack(url, token, arguments):
    options = ["--os-auth-type", "admin_token", "--os-endpoint", f"{url}/v2", "--os-token", token]
    return openstackclient.shell.OpenStackShell().run(options + arguments)


programs = {"glance": glance, "openstack": openstack}


class Terminal(io.StringIO):
    """What a person would sit at: else the programs take their input for the bytes of an image."""

    def isatty(self):
        return True


def run(url, tokens, command, ids):
    program, who, *arguments = command
    arguments = [re.sub(r"\$(\w+)", lambda found: ids[found[1]], one) for one in arguments]
    output, errors = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            code = programs[program](url, tokens[who], arguments) or 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Exception as error:  # What the programs tell of it, they tell outside of what was called here.
            code = 1
            print(error, file=sys.stderr)
    return code, output.getvalue(), errors.getvalue()


def main():
    url, *tokens = sys.argv[1:]
    ids, results = {}, []
    commands = json.load(sys.stdin)
    sys.stdin = Terminal()
    for command in commands:
        name = command.pop(0)[:-1] if command[0].endswith("=") else None
        code, output, errors = run(url, tokens, command, ids)
        if name is not None:
            ids[name] = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", output)[0]
        results.append([code, output, errors])
    json.dump(results, sys.stdout)


main()
