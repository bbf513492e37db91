# input: 3 4
import asyncio


async def double(n):
    await asyncio.sleep(0.001)
    return 2 * n


async def main():
    print(*await asyncio.gather(*(double(int(n)) for n in input().split())))


asyncio.run(main())
# output: 6 8
