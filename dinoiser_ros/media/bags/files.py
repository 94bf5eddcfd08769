# SPDX-License-Identifier: Apache-2.0
"""Bags of ROS 2 and of ROS 1 with one interface: read, and copied with topics added."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.inputs import is_packed_bag

from .messages import LABEL_INFO, typestore

if TYPE_CHECKING:
    from rosbags.interfaces import (
        Connection,
        ConnectionExtRosbag1,
        ConnectionExtRosbag2,
        Qos,
    )

_ZSTD = b"\x28\xb5\x2f\xfd"  # what data begin with that were compressed


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """Open a bag for reading; it is never changed.

    Args:
        path: a folder with metadata.yaml, or a file .mcap, .db3 (ROS 2) or .bag (ROS 1).

    Raises:
        MediaError: it cannot be read.
    """
    if is_packed_bag(path):
        raise MediaError(
            "it is compressed and its metadata.yaml is not here: give the bag's folder, or unpack "
            "it with 'zstd -d'."
        )
    if not path.is_file() and not path.is_dir():
        raise MediaError("it is not a file that can be read to its end.")
    with _read_errors():
        bag = Ros1Bag(path) if path.suffix.lower() == ".bag" else Ros2Bag(path)
        bag.reader.open()
    try:
        yield bag
    finally:
        bag.reader.close()


@contextmanager
def _read_errors() -> Iterator[None]:
    """Rosbags' readers raise whatever a broken file makes them raise."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise MediaError(
            f"the bag cannot be read ({error}): one whose recording was cut off is repaired by "
            "'ros2 bag reindex', 'mcap recover' or 'rosbag reindex'."
        ) from error


class Bag(ABC):
    """A bag that is read, and knows how a copy of it is written.

    Attributes:
        reader: rosbags' reader.
        suffix: of the copy's name; a rosbag2 recording is a folder.
    """

    suffix = ""

    def __init__(self, reader: Any, store: str) -> None:
        self.reader = reader
        self.store = typestore(store)
        self._copied: dict[Any, Connection] = {}

    @property
    def connections(self) -> list[Connection]:
        """What was recorded; a topic may have several connections."""
        connections: list[Connection] = self.reader.connections
        return connections

    @property
    def message_count(self) -> int:
        """How many messages the bag says it has."""
        return int(self.reader.message_count)

    @property
    def times(self) -> tuple[int, int]:
        """When the first and the last message were recorded (ns), as the bag says."""
        return int(self.reader.start_time), int(self.reader.end_time)

    def messages(
        self,
        connections: Sequence[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time of recording (ns) and content of all messages, in order of time.

        Args:
            connections: only those of these, if any are given.
            start: only messages of this time (ns) and later.
            stop: only messages before this time (ns).

        Raises:
            MediaError: the bag breaks off.
        """
        with _read_errors():
            yield from self.reader.messages(connections, start, stop)

    @abstractmethod
    def create(self, path: Path) -> Any:
        """A rosbags writer like this bag, to be entered; `path` must not exist."""

    def copy(self, writer: Any, connection: Connection) -> Connection:
        """The writer's connection for one of this bag's; those that differ in nothing share one."""
        key = (connection.topic, connection.msgtype, repr(connection.ext))
        if key not in self._copied:
            self._copied[key] = self._copy(writer, connection)
        return self._copied[key]

    @abstractmethod
    def _copy(self, writer: Any, connection: Connection) -> Connection: ...

    @abstractmethod
    def add(self, writer: Any, topic: str, type_name: str, reliable: bool) -> Connection:
        """A new topic of the copy, with the node's quality of service."""

    @abstractmethod
    def decode(self, data: bytes, type_name: str) -> Any:
        """A message from its bytes; rosbags raises SerdeError."""

    @abstractmethod
    def encode(self, message: Any, type_name: str) -> memoryview:
        """A message's bytes."""


class Ros2Bag(Bag):
    """A rosbag2 recording; its copy is one with the same storage and compression.

    Several files of a split recording become one.
    """

    def __init__(self, path: Path) -> None:
        from rosbags.rosbag2 import Reader

        # Only bags of Humble and before lack definitions; pictures are the same in all.
        super().__init__(Reader(path), "ros2_humble")

    def create(self, path: Path) -> Any:
        """See `Bag.create`."""
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from rosbags.rosbag2.storage_mcap import McapReader

        storages = getattr(self.reader.storage, "storages", [self.reader.storage])
        is_mcap = any(isinstance(storage, McapReader) for storage in storages)
        plugin = StoragePlugin.MCAP if is_mcap else StoragePlugin.SQLITE3
        # Version 8, since 9 notes the quality of service in a way that Humble cannot read.
        writer = Writer(path, version=8, storage_plugin=plugin)
        mode = {"file": CompressionMode.FILE, "message": CompressionMode.MESSAGE}.get(
            self.reader.compression_mode
        )
        if any(chunk.compression for s in storages for chunk in getattr(s, "chunks", ())):
            mode = mode or CompressionMode.STORAGE
        if mode:
            writer.set_compression(mode, CompressionFormat.ZSTD)
        for key, value in (self.reader.storage.metadata.custom or {}).items():
            writer.set_custom_data(str(key), str(value))
        return writer

    def _copy(self, writer: Any, connection: Connection) -> Connection:
        definition, digest = self._definition(connection)
        extension = cast("ConnectionExtRosbag2", connection.ext)
        copied: Connection = writer.add_connection(
            connection.topic,
            connection.msgtype,
            msgdef=definition,
            rihs01=digest,
            serialization_format=extension.serialization_format,
            offered_qos_profiles=extension.offered_qos_profiles,
        )
        return copied

    def _definition(self, connection: Connection) -> tuple[str, str]:
        """A type's definition and hash: the bag's, else the standard one.

        A type that neither knows gets an empty definition: rosbags writes none without, and bytes
        can be copied whatever they mean.
        """
        from rosbags.interfaces import MessageDefinitionFormat
        from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

        name, (form, text) = connection.msgtype, connection.msgdef
        if form is MessageDefinitionFormat.NONE and name in self.store.fielddefs:
            text, _ = self.store.generate_msgdef(name, ros_version=2)
            return text, self.store.hash_rihs01(name)
        if text and connection.digest:
            return text, connection.digest
        store = get_typestore(Stores.EMPTY)
        try:
            is_idl = form is MessageDefinitionFormat.IDL
            store.register(get_types_from_idl(text) if is_idl else get_types_from_msg(text, name))
            return text, store.hash_rihs01(name)
        except Exception:  # whatever the parsers make of a text that is none
            store.register(get_types_from_msg("", name))
            return text, store.hash_rihs01(name)

    def add(self, writer: Any, topic: str, type_name: str, reliable: bool) -> Connection:
        """See `Bag.add`."""
        qos = _qos(reliable, latched=type_name == LABEL_INFO)
        added: Connection = writer.add_connection(
            topic, type_name, typestore=self.store, offered_qos_profiles=[qos]
        )
        return added

    def decode(self, data: bytes, type_name: str) -> Any:
        """See `Bag.decode`."""
        if bytes(data[:4]) == _ZSTD:
            raise MediaError(
                "its messages are compressed, which only its metadata.yaml says: "
                "'ros2 bag reindex' makes one"
            )
        return self.store.deserialize_cdr(data, type_name)

    def encode(self, message: Any, type_name: str) -> memoryview:
        """See `Bag.encode`."""
        return self.store.serialize_cdr(message, type_name)


def _qos(reliable: bool, latched: bool) -> Qos:
    """The profiles of ros/segment/publishers.py, as rosbag2 writes them down."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    forever = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 2 if reliable else 5,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )


class Ros1Bag(Bag):
    """A bag of ROS 1; its copy is one as well, without compression."""

    suffix = ".bag"

    def __init__(self, path: Path) -> None:
        from rosbags.rosbag1 import Reader

        super().__init__(Reader(path), "ros1_noetic")

    def create(self, path: Path) -> Any:
        """See `Bag.create`."""
        from rosbags.rosbag1 import Writer

        return Writer(path)

    def _copy(self, writer: Any, connection: Connection) -> Connection:
        extension = cast("ConnectionExtRosbag1", connection.ext)
        copied: Connection = writer.add_connection(
            connection.topic,
            connection.msgtype,
            msgdef=connection.msgdef.data,
            md5sum=connection.digest,
            callerid=extension.callerid,
            latching=extension.latching,
        )
        return copied

    def add(self, writer: Any, topic: str, type_name: str, reliable: bool) -> Connection:
        """See `Bag.add`."""
        latching = int(type_name == LABEL_INFO)
        added: Connection = writer.add_connection(
            topic, type_name, typestore=self.store, latching=latching
        )
        return added

    def decode(self, data: bytes, type_name: str) -> Any:
        """See `Bag.decode`."""
        return self.store.deserialize_ros1(data, type_name)

    def encode(self, message: Any, type_name: str) -> memoryview:
        """See `Bag.encode`."""
        return self.store.serialize_ros1(message, type_name)
