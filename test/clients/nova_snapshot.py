"""A snapshot's upload by Nova's own driver, as its compute service does it: nova_snapshot.py URL IMAGE_ID FILE.

Nova reads the file once. Where a request fails it tries again, with what is left of the file. Prints what came of it as JSON.
"""

import json
import logging
import sys

import nova.conf
from nova import context
from nova.image import glance

logging.disable(logging.CRITICAL)
url, image_id, path = sys.argv[1:]
nova.conf.CONF([], project="nova", default_config_files=[])
nova.conf.CONF.set_override("api_servers", [url], "glance")
nova.conf.CONF.set_override("num_retries", 3, "glance")

caller = context.RequestContext("nova", "default", auth_token="any", service_catalog=[])
images = glance.GlanceImageServiceV2()
with open(path, "rb") as data:
    try:
        image = images._upload_data(caller, image_id, data)
        print(json.dumps({"status": image["status"], "size": image["size"]}))
    except Exception as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))
