# nanopb decodes protobuf's wire format (proto_wire.c).
LIBS += -lprotobuf-nanopb
