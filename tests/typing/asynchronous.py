"""The same, asynchronously."""

import asyncio

import llm
from llm.tools import parse_arguments


async def slow(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "done"


async def watch(tool: llm.Tool | None, call: llm.ToolCall) -> None:
    """Say what is called."""
    print(call.name, tool.description if tool else "")


async def main() -> str:
    """Ask in all ways."""
    model = llm.get_async_model("gpt-4o-mini")
    response: llm.AsyncResponse = model.prompt("Hi")
    async for piece in response:
        print(piece.upper(), end="")
    usage: llm.Usage = await response.usage()
    print(usage.details, (await response).text_or_raise())
    conversation: llm.AsyncConversation = model.conversation(tools=[slow])
    chain = conversation.chain("Wait a little", before_call=watch, chain_limit=3)
    async for answer in chain.responses():
        calls: list[llm.ToolCall] = await answer.tool_calls()
        print(len(calls), parse_arguments("{}"))
    async for event in chain.astream_events():
        print(event.type)
    finished: llm.Response = await response.to_sync_response()
    return finished.text() + await chain.text()


asyncio.run(main())
