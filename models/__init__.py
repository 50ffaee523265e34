"""From vectors to a served model."""

import os

# Before ONNX Runtime is imported, and by whatever module of ours that is. A payment institution tells nobody
# what it scores. Seen with 1.31.1: without this each process writes a device's id and events to send into
# ~/.cache/Microsoft/DeveloperTools/.onnxruntime. onnxruntime.disable_telemetry_events() comes too late for
# that: they are there when it can be called. With this neither is written.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
