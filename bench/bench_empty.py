"""The empty endpoint: what FastAPI under uvicorn costs by itself."""

from fastapi import FastAPI

app = FastAPI(docs_url=None, redoc_url=None)


@app.get("/")
async def empty() -> dict[str, str]:
    """Answers with nothing."""
    return {}
