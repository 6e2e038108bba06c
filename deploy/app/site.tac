"""Counts the visits of everybody, in a session that any process can read."""

from container import Application, Resource, Response, Site


class Visits(Resource):
    is_leaf = True

    def get(self, request):
        visits = request.session["visits"] = request.session.get("visits", 0) + 1
        return Response.html(f"<!doctype html><title>Visits</title><p>You were here {visits} times.</p>\n")


application = Application("visits")
application.serve(Site(Visits()))
