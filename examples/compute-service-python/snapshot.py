#!/usr/bin/env python3
"""Takes a snapshot with a command of yours and brings it to Darkroom, whatever breaks on the way.

    snapshot.py --name web-1 --instance 8b3e --format qcow2 DISK -- qemu-img convert -O qcow2 vm.raw DISK

The task is there before the command has written a byte: whoever waits for the image follows it. While the command runs, its
progress is told; if it fails, its fault is, and the exit code is 1. Then DISK is sent, and sent on from what is committed
whenever the connection breaks or the service restarts.

DARKROOM_ENDPOINT is host:port of the service, 127.0.0.1:8080 if not set; DARKROOM_TOKEN a token with the role `service`, and
DARKROOM_PROJECT the project that the snapshot is for, where the service knows its callers.
"""

import argparse
import hashlib
import os
import random
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, os.environ.get("DARKROOM_STUBS", os.path.join(os.path.dirname(__file__), "stubs")))

import google  # noqa: E402

# protoc wrote google/rpc beside the google.protobuf of the system.
google.__path__.append(os.path.join(sys.path[0], "google"))

import grpc  # noqa: E402
from darkroom.v1 import image_pb2, image_service_pb2 as image_service, task_pb2, task_service_pb2 as task_service  # noqa: E402
from google.rpc import code_pb2, error_details_pb2, status_pb2  # noqa: E402

CHUNK_BYTES = 1024 * 1024
LONGEST_PAUSE_SECONDS = 10.0
# A service that restarts is found again soon, and one whose connection hangs is noticed.
CHANNEL_OPTIONS = [("grpc.max_reconnect_backoff_ms", 2000), ("grpc.keepalive_time_ms", 20000)]
# What does not pass by itself: the task is over, somebody else has it, or what is sent is wrong.
LASTING = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS}
LASTING |= {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.FAILED_PRECONDITION}
LASTING |= {grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNIMPLEMENTED}
LASTING_REASONS = {"WRITER_FENCED", "IMAGE_DELETED", "REPLAY_MISMATCH", "DIGEST_MISMATCH", "STORED_BYTES_LOST", "CHUNK_TOO_LARGE"}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("disk", metavar="DISK", help="the file that the command writes")
parser.add_argument("command", nargs="+", help="makes DISK; its standard error is the fault's detail if it fails")
parser.add_argument("--name", required=True)
parser.add_argument("--instance", required=True, help="a label of the task, by which it is found")
parser.add_argument("--format", default="raw", help="raw, qcow2, …")
options = parser.parse_args()


def metadata():
    """What each call carries, read anew: tokens change while a long upload goes on."""
    token, project = os.environ.get("DARKROOM_TOKEN"), os.environ.get("DARKROOM_PROJECT")
    return [("authorization", f"Bearer {token}")] * bool(token) + [("x-darkroom-project", project)] * bool(project)


def details_of(error):
    """The reason of a failed call, and after how many seconds the service wants to be asked again."""
    reason, pause = "", 0.0
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
                if detail.Unpack(info):
                    reason = info.reason
                elif detail.Unpack(retry):
                    pause = retry.retry_delay.ToTimedelta().total_seconds()
    return reason, pause


def until_done(step):
    """Repeats step() until it answers something, over all that passes; longer pauses each time, with full jitter."""
    failures = 0
    while True:
        try:
            answer = step()
            if answer is not None:
                return answer
            failures = 0
        except grpc.RpcError as error:
            reason, pause = details_of(error)
            is_waited_for = reason == "WRITER_ACTIVE"
            if reason in LASTING_REASONS or (error.code() in LASTING and not is_waited_for):
                raise
            print(f"{error.code().name} {reason}: going on", file=sys.stderr, flush=True)
            longest = min(LONGEST_PAUSE_SECONDS, 0.1 * 2**failures)
            failures = min(failures + 1, 16)
            time.sleep(max(pause, random.uniform(0, longest)))


class Snapshot:
    """One snapshot: its image, its task, and the calls that it needs."""

    def __init__(self, channel):
        def unary(service, method, answer):
            call = channel.unary_unary(f"/darkroom.v1.{service}/{method}", lambda m: m.SerializeToString(), answer.FromString)
            return lambda request: until_done(lambda: call(request, timeout=30, metadata=metadata()))

        self.create = unary("ImageService", "CreateImage", image_service.CreateImageResponse)
        self.resume = unary("ImageService", "ResumeUpload", image_service.ResumeUploadResponse)
        self.report_progress = unary("TaskService", "ReportProgress", task_service.ReportProgressResponse)
        self.report_fault = unary("TaskService", "ReportFault", task_service.ReportFaultResponse)
        self.upload = channel.stream_unary(
            "/darkroom.v1.ImageService/UploadImage",
            lambda m: m.SerializeToString(),
            image_service.UploadImageResponse.FromString,
        )
        self.watch = channel.unary_stream(
            "/darkroom.v1.TaskService/WatchTask",
            lambda m: m.SerializeToString(),
            task_service.WatchTaskResponse.FromString,
        )

    def begin(self):
        """The image and its task, before there is a byte."""
        created = self.create(
            image_service.CreateImageRequest(
                image=image_pb2.Image(
                    name=options.name,
                    disk_format=image_pb2.Image.DiskFormat.Value("DISK_FORMAT_" + options.format.upper()),
                ),
                snapshot=image_service.CreateImageRequest.Snapshot(labels={"instance": options.instance}),
                # The same request again, after an answer that was lost, gets the same task.
                request_id=str(uuid.uuid4()),
            )
        )
        self.task_id = created.task.id
        print(f"task {self.task_id} image {created.image.id}", flush=True)

    def take(self):
        """Runs the command; tells how far it is, and what went wrong. Answers whether it did what it should."""
        try:
            return self.run()
        except OSError as error:
            self.fail(f"{options.command[0]} could not be run: {error.strerror}.", "")
            return False

    def run(self):
        with subprocess.Popen(options.command, stderr=subprocess.PIPE, text=True, errors="replace") as command:
            said = []
            reader = threading.Thread(target=lambda: said.extend(command.stderr.read()[-4000:]))
            reader.start()
            while True:
                try:
                    command.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    size = os.stat(options.disk).st_blocks * 512 if os.path.exists(options.disk) else 0
                    self.report_progress(
                        task_service.ReportProgressRequest(
                            task_id=self.task_id, message="The disk is being copied", bytes_done=size
                        )
                    )
            reader.join()
        if command.returncode == 0 and os.path.exists(options.disk):
            return True
        outcome = f"ended with exit code {command.returncode}" if command.returncode else f"left no {options.disk}"
        self.fail(f"{options.command[0]} {outcome}.", "".join(said))
        return False

    def fail(self, message, detail):
        """Ends the task: whoever waits for the image knows at once that it will not come, and why."""
        self.report_fault(
            task_service.ReportFaultRequest(
                task_id=self.task_id,
                code=code_pb2.INTERNAL,
                reason="SNAPSHOT_COMMAND_FAILED",
                message=message,
                detail="".join(c for c in detail if c.isprintable() or c in "\n\t"),
                fatal=True,
            )
        )

    def send(self):
        """Brings the file to the service, from what is committed on, until its image is ACTIVE."""
        with open(options.disk, "rb") as disk:
            size, digest = os.path.getsize(options.disk), hashlib.file_digest(disk, "sha256").hexdigest()

        def frames(offset, epoch):
            frame = image_service.UploadImageRequest
            yield frame(header=frame.Header(task_id=self.task_id, writer_epoch=epoch))
            with open(options.disk, "rb") as disk:
                disk.seek(offset)
                while data := disk.read(CHUNK_BYTES):
                    yield frame(chunk=frame.Chunk(offset=offset, data=data))
                    offset += len(data)
            yield frame(finish=frame.Finish(total_size=size, sha256=digest))

        def stream():
            at = self.resume(image_service.ResumeUploadRequest(task_id=self.task_id))
            answer = self.upload(frames(at.committed_size, at.writer_epoch), metadata=metadata())
            return answer.image if answer.complete else None

        return until_done(stream)

    def follow(self):
        """Prints what happens to the task, each event once, until its end."""
        token = ""

        def stream():
            nonlocal token
            request = task_service.WatchTaskRequest(task_id=self.task_id, resume_token=token)
            for news in self.watch(request, metadata=metadata()):
                token = news.resume_token
                if news.WhichOneof("content") == "update":
                    event = news.update.event
                    state = task_pb2.Task.State.Name(event.state).removeprefix("STATE_")
                    print(f"{event.revision} {state} {event.fault.reason or event.cause}", flush=True)
            # The stream ends by itself after the last event, and only then.
            return True

        until_done(stream)


def main():
    target = os.environ.get("DARKROOM_ENDPOINT", "127.0.0.1:8080")
    with grpc.insecure_channel(target, CHANNEL_OPTIONS) as channel:
        snapshot = Snapshot(channel)
        snapshot.begin()
        follower = threading.Thread(target=snapshot.follow, daemon=True)
        follower.start()
        is_taken = snapshot.take()
        image = snapshot.send() if is_taken else None
        follower.join()
    if image is None:
        sys.exit(1)
    print(f"image {image.id} has {image.size_bytes} bytes, sha256 {image.sha256}")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name} {details_of(error)[0]}: {error.details()}")
