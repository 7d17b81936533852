"""A TensorBoard event file written and read back by TensorBoard's own classes: make.py OUT_FILE

Made with tensorboard 2.21.0 and protobuf as it requires. The times are fixed; a file of 1.7e9 seconds, three steps.
"""
import sys

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

path = sys.argv[1]
with open(path, "wb") as f:
    writer = RecordWriter(f)
    writer.write(Event(wall_time=1_700_000_000.0, file_version="brain.Event:2").SerializeToString())
    for step in (0, 1, 300):
        values = [Summary.Value(tag="reward/mean", simple_value=0.125 * step),
                  Summary.Value(tag="grad_norm", simple_value=1e-3)]
        event = Event(wall_time=1_700_000_000.5 + step, step=step, summary=Summary(value=values))
        writer.write(event.SerializeToString())
events = [Event.FromString(e) for e in RawEventFileLoader(path).Load()]
assert [e.step for e in events] == [0, 0, 1, 300], events
