"""TLS without a web server in front: port 443 serves, port 80 sends everybody there.

Certificates are those that certbot keeps, one for each name; renewed ones are taken up by themselves. Start it as
root: `container -y deploy/tls.tac --user www-data`. certbot renews through `--webroot -w /var/www/acme`.
"""

from container import Application, Files, Resource, Response, Site


class ToTLS(Resource):
    """The same address, by https."""

    is_leaf = True

    def render(self, request):
        query = f"?{request.query_string}" if request.raw_query else ""
        path = request.raw_path.decode("latin-1")
        return Response.redirect(f"https://{request.hostname}{path}{query}", 308)


plain = ToTLS()
plain.mount(".well-known/acme-challenge", Files("/var/www/acme/.well-known/acme-challenge"))
site = Site(Files("/var/www/html"), headers={"Strict-Transport-Security": "max-age=63072000"})

application = Application("shop")
application.serve(site, "tls:/etc/letsencrypt/live:443")
application.serve(Site(plain), "tcp:80")
