"""Reads a stream of subunit v2, as Tempest writes it, and prints a line of JSON for each test that has ended."""

import json
import sys

import subunit
import testtools


def tell(test):
    details = test["details"]
    reason = details.get("reason") or details.get("traceback")
    print(
        json.dumps(
            {
                "id": test["id"],
                "status": test["status"],
                "reason": reason.as_text() if reason else "",
            }
        )
    )


result = testtools.StreamToDict(tell)
result.startTestRun()
subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="output").run(result)
result.stopTestRun()
