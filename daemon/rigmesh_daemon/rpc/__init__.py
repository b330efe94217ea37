"""protobuf and gRPC on one side, the daemon's service on the other."""
