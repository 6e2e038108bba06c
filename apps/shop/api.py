"""The basket as JSON: a Starlette application. The visitor's session is where Starlette looks for one."""

from goods import GOODS, count_of, key_of, lines_of
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def basket(request: Request) -> JSONResponse:
    return _answer(request)


async def take_out(request: Request) -> JSONResponse:
    name = request.path_params["name"]
    if name not in GOODS:
        raise HTTPException(404)
    request.session.pop(key_of(name), None)
    return _answer(request)


def _answer(request: Request) -> JSONResponse:
    lines = lines_of(request.session)
    return JSONResponse(
        {
            "count": count_of(request.session),
            "cents": sum(line.cents for line in lines),
            "lines": [
                {"name": line.good.name, "title": line.good.title, "count": line.count} for line in lines
            ],
        }
    )


app = Starlette(
    routes=[
        Route("/basket/", basket),
        Route("/basket/{name}", take_out, methods=["DELETE"]),
    ]
)
