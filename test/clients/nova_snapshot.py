"""A snapshot by Nova's own driver, as its compute service takes it: nova_snapshot.py URL FILE KIND.

The image is made first, and gets its bytes and what was learned of it meanwhile in the end.

Nova reads the file once. Where a request fails it tries again, with what is left of the file. Prints what came of it as JSON.
"""

import json
import logging
import sys

import nova.conf
from nova import context
from nova.image import glance

logging.disable(logging.CRITICAL)
url, path, kind = sys.argv[1:]
nova.conf.CONF([], project="nova", default_config_files=[])
nova.conf.CONF.set_override("api_servers", [url], "glance")
nova.conf.CONF.set_override("num_retries", 3, "glance")

caller = context.RequestContext("nova", "default", auth_token="any", service_catalog=[])
images = glance.GlanceImageServiceV2()
if kind == "of volumes":
    # The image is made ACTIVE by a PUT of no bytes.
    volumes = json.dumps([{"snapshot_id": "5f1c", "source_type": "snapshot", "boot_index": 0}])
    properties = {"block_device_mapping": volumes, "bdm_v2": True, "root_device_name": "/dev/vda"}
    image = images.create(caller, {"name": "web-2", "is_public": False, "size": 0, "properties": properties})
    print(json.dumps({name: image[name] for name in ("id", "status", "size", "properties")}, default=str))
    sys.exit()
created = images.create(
    caller,
    {
        "name": "web-1 of today",
        "is_public": False,
        "container_format": "bare",
        "disk_format": "raw",
        "properties": {"image_type": "snapshot", "instance_uuid": "8b3e"},
    },
)
outcome = {"id": created["id"]}
print(json.dumps(outcome), flush=True)
metadata = {"status": "active", "name": created["name"], "properties": {"os_type": "linux"}}
with open(path, "rb") as data:
    try:
        image = images.update(caller, created["id"], metadata, data, purge_props=False)
        outcome |= {name: image[name] for name in ("status", "size", "properties")}
    except Exception as error:
        outcome |= {"error": type(error).__name__, "message": str(error)}
print(json.dumps(outcome, default=str))
