"""A real Apache Kafka and a real Redis on this machine, without Docker and without root.

Stands alone: it imports nothing of ``stream``, ``models`` or ``features``. Everything listens on 127.0.0.1.
"""

from deploy.errors import ServiceError
from deploy.local.kafka import start_kafka
from deploy.local.redis import private_redis, save_dump, start_redis
from deploy.local.service import Service
from deploy.local.services import Services, Status, down, project_folder, status, up

__all__ = [
    "Service",
    "ServiceError",
    "Services",
    "Status",
    "down",
    "private_redis",
    "project_folder",
    "save_dump",
    "start_kafka",
    "start_redis",
    "status",
    "up",
]
