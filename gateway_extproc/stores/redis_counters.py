class RedisCounters:
    def __init__(self, *args: object) -> None:
        raise NotImplementedError

    async def close(self) -> None: ...
