"""The checkout: a script, run for each request. Edit it while the shop is open."""

from html import escape

from container import Resource, Response
from goods import lines_of, price

PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <style>
    :root {{ color-scheme: light dark; }}
    body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }}
  </style>
</head>
<body><main><h1>{title}</h1>{main}<p><a href="./">Back to the shop</a></p></main></body>
</html>
"""


class Checkout(Resource):
    def get(self, request):
        lines = lines_of(request.session)
        if not lines:
            return page("Checkout", "<p>Your basket is empty.</p>")
        rows = "".join(
            f"<li>{line.count} × {escape(line.good.title)}: {price(line.cents)}</li>" for line in lines
        )
        total = price(sum(line.cents for line in lines))
        return page(
            "Checkout",
            f'<ul>{rows}</ul><p>Together: <strong id="total">{total}</strong></p>'
            '<form method="post" id="order"><button>Order</button></form>',
        )

    def post(self, request):
        if not lines_of(request.session):
            return Response.redirect("checkout", 303)
        # The end of this session: cookie and basket are gone, for all parts of the shop.
        request.session.expire()
        return page("Thank you", "<p>Your tea is on its way.</p>")


def page(title, main):
    return Response.html(PAGE.format(title=title, main=main))


resource = Checkout()
