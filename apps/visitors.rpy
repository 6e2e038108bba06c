"""A visitor counter: run for every request, while what it puts into the registry stays."""

from container import Resource, Response


class Counter:
    value = 0


class Visitors(Resource):
    is_leaf = True

    def get(self, request):
        return Response.html(f"<!doctype html><title>Visitors</title><h1>You are visitor number {number}</h1>\n")


counter = registry.get_or_make(Counter, Counter)
counter.value += 1
number = counter.value
resource = Visitors()
