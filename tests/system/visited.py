"""The tree of the drills with sessions.

/count?name=NAME   counts the visits of this session and remembers who made the first
/sum               adds one, in the store
/read              what is in the session
/plain             needs no session
"""

from container import Resource, Response


class Count(Resource):
    def get(self, request):
        session = request.session
        session["n"] = session.get("n", 0) + 1
        return Response.text(f"{session['n']} {session.setdefault('name', request.args['name'])}")


class Sum(Resource):
    async def get(self, request):
        return Response.text(str(await request.session.increment("sum")))


class Read(Resource):
    def get(self, request):
        return Response.json(dict(request.session))


class Plain(Resource):
    def get(self, request):
        return Response.text("plain")


root = Resource()
root.mount("count", Count())
root.mount("sum", Sum())
root.mount("read", Read())
root.mount("plain", Plain())
