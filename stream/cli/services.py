"""`vigia up`, `down` and `status`: a real Kafka and Redis on this machine."""

from typing import Annotated

import typer

from deploy.local import Status, down, project_folder, status, up
from stream.cli.common import console, emit_json

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
KafkaPort = Annotated[
    int | None,
    typer.Option(help="Kafka's port (default: 9092 if it is free, else a free one).", min=1, max=65535),
]
RedisPort = Annotated[
    int | None,
    typer.Option(help="Redis's port (default: 6379 if it is free, else a free one).", min=1, max=65535),
]
Erase = Annotated[bool, typer.Option("--erase", help="Delete the data too.")]


def register(app: typer.Typer) -> None:
    """Add the three commands to ``app``."""
    app.command("up")(up_command)
    app.command("down")(down_command)
    app.command("status")(status_command)


def up_command(kafka_port: KafkaPort = None, redis_port: RedisPort = None, json: Json = False) -> None:
    """Start Apache Kafka and Redis here, without Docker or root; what already runs is left alone.

    Both listen on 127.0.0.1 and keep their data in .vigia/ of the project. They go on until `vigia down`.
    Kafka's jars (45 MB) and its classes laid out for each Java (65 MB) lie in ~/.cache/vigia.
    Standard output is one `export` line: `eval "$(vigia up)"` tells the other commands where they are.
    """
    services = up(project_folder(), kafka_port=kafka_port, redis_port=redis_port, say=console.print)
    if json:
        emit_json({"kafka": services.kafka, "redis": services.redis})
        return
    console.print(f"Kafka answers at {services.kafka}, Redis at {services.redis}")
    typer.echo(f"export VIGIA_KAFKA_BOOTSTRAP={services.kafka} VIGIA_REDIS_URL={services.redis}")


def down_command(erase: Erase = False) -> None:
    """End Kafka and Redis. Their data stay for the next `vigia up`, unless --erase."""
    down(project_folder(), erase=erase)
    console.print("Kafka and Redis are down" + (", their data deleted" if erase else "; their data stay"))


def status_command(json: Json = False) -> None:
    """Say where Kafka and Redis answer; exit 1 when one of them does not.

    With --json the address of a service that does not answer is null.
    """
    now = status(project_folder())
    if json:
        emit_json({name: one.address if one.running else None for name, one in now.items()})
    else:
        for name, one in now.items():
            console.print(f"{name}: {describe(one)}")
    if not all(one.running for one in now.values()):
        raise typer.Exit(1)


def describe(service: Status) -> str:
    """One service in a few words."""
    if service.running:
        return f"answers at {service.address} (process {service.pid})"
    if service.pid:
        return f"process {service.pid} runs but does not answer at {service.address}"
    if service.address:
        return "has ended; `vigia up` starts it again with its data"
    return "not started; `vigia up` starts it"
