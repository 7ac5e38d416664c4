"""Uploads a file to Darkroom and resumes when anything breaks, written from docs/upload-protocol.md alone.

Runs on Python's C-core gRPC with classes that protoc made from the .proto files:

    upload_client.py TARGET STUBS FILE NAME [--format F] [--chunk BYTES] [--break-at BYTES ...] [--hold-at BYTES]
        [--ca FILE [--cert FILE --key FILE]]

--break-at breaks the stream off as soon as so many bytes are acknowledged; given several times, that many
streams. --hold-at then sends nothing more on a stream until somebody else breaks it. --ca has it speak TLS, and --cert with --key
show a certificate.

Prints JSON lines: what it created, where it resumed, what the watch told, how it ended.
"""

import argparse
import hashlib
import json
import os
import sys
import threading
import time
import uuid

parser = argparse.ArgumentParser()
parser.add_argument("target")
parser.add_argument("stubs")
parser.add_argument("file")
parser.add_argument("name")
parser.add_argument("--format", default="RAW")
parser.add_argument("--chunk", type=int, default=1024 * 1024)
parser.add_argument("--break-at", type=int, nargs="*", default=[])
parser.add_argument("--hold-at", type=int)
parser.add_argument("--ca")
parser.add_argument("--cert")
parser.add_argument("--key")
options = parser.parse_args()
sys.path.insert(0, options.stubs)

import google  # noqa: E402

# protoc wrote google/rpc beside the google.protobuf of the system.
google.__path__.append(os.path.join(options.stubs, "google"))

import grpc  # noqa: E402
from darkroom.v1 import image_pb2, image_service_pb2, task_pb2, task_service_pb2  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402

IMAGES = "/darkroom.v1.ImageService/"
TASKS = "/darkroom.v1.TaskService/"
# "Fatal errors end the task as FAILED", and with these others the client itself must stop.
STOP = {"SIZE_SHORT", "SIZE_EXCEEDED", "DIGEST_MISMATCH", "STORED_BYTES_LOST", "TASK_TERMINAL", "TASK_EXPIRED"}
STOP |= {"WRITER_FENCED", "REPLAY_MISMATCH", "CHUNK_TOO_LARGE", "FRAME_ORDER", "FIELD_INVALID", "TASK_NOT_FOUND"}
GIVE_UP_SECONDS = 60
LONGEST_WAIT_SECONDS = 1.0

Frame = image_service_pb2.UploadImageRequest


speaking = threading.Lock()


def say(**line):
    with speaking:
        print(json.dumps(line), flush=True)


def details_of(error):
    """The reason and the retry delay in seconds of a failed call."""
    reason, delay = "", 0.0
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
                if detail.Unpack(info):
                    reason = info.reason
                elif detail.Unpack(retry):
                    delay = retry.retry_delay.ToTimedelta().total_seconds()
    return reason, delay


def patiently(work):
    """Repeats work() while the service is away, a little slower each time; the answer, or None to stop."""
    wait, deadline = 0.05, time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = work()
            if answer is not None:
                return answer
        except grpc.RpcError as error:
            reason, delay = details_of(error)
            say(broken=error.code().name, reason=reason)
            if reason in STOP:
                return None
            time.sleep(max(wait, delay))
            wait = min(LONGEST_WAIT_SECONDS, wait * 2)
    return None


class Breaks(Exception):
    """Thrown out of the frames, which cancels the call."""


class Upload:
    def __init__(self, channel, path):
        def unary(name, answer):
            return channel.unary_unary(name, lambda m: m.SerializeToString(), answer.FromString)

        self.create = unary(IMAGES + "CreateImage", image_service_pb2.CreateImageResponse)
        self.resume = unary(IMAGES + "ResumeUpload", image_service_pb2.ResumeUploadResponse)
        self.upload = channel.stream_unary(
            IMAGES + "UploadImage",
            lambda m: m.SerializeToString(),
            image_service_pb2.UploadImageResponse.FromString,
        )
        self.watch = channel.unary_stream(
            TASKS + "WatchTask",
            lambda m: m.SerializeToString(),
            task_service_pb2.WatchTaskResponse.FromString,
        )
        self.path = path
        self.size = os.path.getsize(path)
        self.sha256 = sha256_of(path)
        self.task_id = ""
        self.offset, self.epoch = 0, None
        self.needs_resume = False
        self.acknowledged = 0
        self.breaks = list(options.break_at)
        self.hold_at = options.hold_at

    def begin(self):
        request = image_service_pb2.CreateImageRequest(
            image=image_pb2.Image(
                name=options.name,
                disk_format=image_pb2.Image.DiskFormat.Value("DISK_FORMAT_" + options.format),
            ),
            upload=image_service_pb2.CreateImageRequest.Upload(total_size=self.size),
            request_id=str(uuid.uuid4()),
        )
        created = patiently(lambda: self.create(request, timeout=30))
        if created is None:
            return False
        self.task_id = created.task.id
        say(created=created.image.id, task=self.task_id)
        return True

    def attempt(self):
        """One stream; the answer if the upload is done, else None."""
        if self.needs_resume:
            request = image_service_pb2.ResumeUploadRequest(task_id=self.task_id)
            resumed = self.resume(request, timeout=30)
            self.offset, self.epoch = resumed.committed_size, resumed.writer_epoch
            say(resumed=self.offset, epoch=self.epoch)
        self.needs_resume = True
        over = threading.Event()
        try:
            answer = self.upload(self.frames(over))
        finally:
            over.set()
        say(committed=answer.committed_size, complete=answer.complete, sha256=answer.image.sha256)
        return answer if answer.complete else None

    def frames(self, over):
        yield Frame(header=Frame.Header(task_id=self.task_id, writer_epoch=self.epoch))
        break_at = self.breaks.pop(0) if self.breaks else None
        offset = self.offset
        with open(self.path, "rb") as source:
            source.seek(offset)
            while data := source.read(options.chunk):
                if break_at is not None and offset >= break_at:
                    self.await_acknowledgement(break_at)
                    raise Breaks()
                if self.hold_at is not None and offset >= self.hold_at:
                    self.hold_at = None
                    say(holding=offset)
                    over.wait(GIVE_UP_SECONDS)
                    return
                yield Frame(chunk=Frame.Chunk(offset=offset, data=data))
                offset += len(data)
        yield Frame(finish=Frame.Finish(total_size=self.size, sha256=self.sha256))

    def await_acknowledgement(self, position):
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while self.acknowledged < position and time.monotonic() < deadline:
            time.sleep(0.01)

    def follow(self):
        """Watches the task to its end, over as many streams as that takes."""
        token = ""

        def once():
            nonlocal token
            request = task_service_pb2.WatchTaskRequest(task_id=self.task_id, resume_token=token)
            request.progress_interval.FromMilliseconds(100)
            for message in self.watch(request):
                token = message.resume_token
                self.tell(message)
            return True

        if patiently(once):
            say(watched_to_the_end=True)

    def tell(self, message):
        kind = message.WhichOneof("content")
        if kind == "snapshot":
            self.acknowledged = message.snapshot.progress.bytes_done
            say(
                snapshot=task_pb2.Task.State.Name(message.snapshot.state),
                told_up_to=message.snapshot.revision,
            )
        elif kind == "progress":
            self.acknowledged = message.progress.bytes_done
        elif kind == "update":
            event = message.update.event
            self.acknowledged = event.bytes_done
            say(
                event=task_pb2.TaskEvent.Kind.Name(event.kind),
                state=task_pb2.Task.State.Name(event.state),
                revision=event.revision,
                reason=event.fault.reason,
            )


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def connect(target, **settings):
    if options.ca is None:
        return grpc.insecure_channel(target, **settings)

    def read(path):
        if path is None:
            return None
        with open(path, "rb") as source:
            return source.read()

    credentials = grpc.ssl_channel_credentials(read(options.ca), read(options.key), read(options.cert))
    return grpc.secure_channel(target, credentials, **settings)


def main():
    channel = connect(
        options.target,
        options=[
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # The address is looked up again before each new connection, by default once in 30 s.
            ("grpc.dns_min_time_between_resolutions_ms", 100),
        ],
    )
    upload = Upload(channel, options.file)
    if not upload.begin():
        return 1
    follower = threading.Thread(target=upload.follow, daemon=True)
    follower.start()
    answer = patiently(upload.attempt)
    if answer is None:
        return 1
    follower.join(timeout=30)
    say(done=answer.image.id)
    return 0


sys.exit(main())
