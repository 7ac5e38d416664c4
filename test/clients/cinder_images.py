"""What a volume service does with images, by Cinder's own driver: cinder_images.py URL FILE SAVED.

A volume is uploaded as an image, whose bytes are then had for another volume. Cinder reads the file once; where a request
fails it tries again, with what is left of the file. Prints the image when it is made, and then what came of it, as JSON.
"""

import json
import logging
import sys

from cinder import context, objects
from cinder.image import glance
from oslo_config import cfg

logging.disable(logging.CRITICAL)
url, path, saved = sys.argv[1:]
objects.register_all()
cfg.CONF([], project="cinder", default_config_files=[])
cfg.CONF.set_override("glance_api_servers", [url])
cfg.CONF.set_override("glance_num_retries", 3)

caller = context.RequestContext("cinder", "default", auth_token="any", service_catalog=[])
images = glance.get_default_image_service()
made = images.create(
    caller,
    {
        "name": "volume-1",
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "private",
        "protected": False,
        "properties": {"signature_verified": "False"},
    },
)
outcome = {"id": made["id"]}
print(json.dumps(outcome), flush=True)
try:
    with open(path, "rb") as data:
        image = images.update(caller, made["id"], {}, data)
    outcome |= {name: image[name] for name in ("status", "size", "properties")}
    with open(saved, "wb") as target:
        images.download(caller, made["id"], target)
    found = images.detail(caller, filters={"status": "active", "name": "volume-1"}, sort_key="name")
    outcome |= {"listed": [one["id"] for one in found], "location": images.get_location(caller, made["id"])[0]}
    images.update(caller, made["id"], {"properties": {"kept": "1"}}, purge_props=False)
    outcome |= {"changed": images.show(caller, made["id"])["properties"]}
except Exception as error:
    outcome |= {"error": type(error).__name__, "message": str(error)}
print(json.dumps(outcome, default=str))
