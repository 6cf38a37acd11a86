"""The only room with gRPC and the ext_proc messages.

``codec`` turns bytes into core values and decisions into bytes, ``session`` is one
ext_proc stream, ``grpc_server`` carries streams over grpc.aio.  No policy lives
here; what breaks here refuses, it never passes a request on.
"""
