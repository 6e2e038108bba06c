"""The goods on their page: a Flask application. The visitor's session is in its environ."""

from flask import Flask, abort, redirect, render_template_string, request, url_for
from goods import GOODS, count_of, key_of, price
from werkzeug.wrappers import Response

PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Tea shop</title>
  <style>
    :root { color-scheme: light dark; }
    body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
    li { display: flex; gap: 1rem; align-items: baseline; margin: .5rem 0; }
    li span { flex: 1; }
    ul { padding: 0; }
  </style>
</head>
<body>
  <main>
    <h1>Tea shop</h1>
    <ul>
      {% for good in goods %}
      <li>
        <span>{{ good.title }}</span> {{ price(good.cents) }}
        <form method="post" action="{{ url_for('add') }}" id="add-{{ good.name }}">
          <button name="good" value="{{ good.name }}">Put {{ good.title }} into the basket</button>
        </form>
      </li>
      {% endfor %}
    </ul>
    <h2>Basket</h2>
    <p>In it: <output id="count">{{ count }}</output>. <a href="checkout">To the checkout</a></p>
    <ul id="basket" aria-live="polite"></ul>
  </main>
  <script>
    // The basket of the page comes from the other application.
    const list = document.getElementById("basket")
    async function show(method = "GET", name = "") {
      const basket = await (await fetch("api/basket/" + name, {method})).json()
      document.getElementById("count").textContent = basket.count
      list.replaceChildren(...basket.lines.map(line => {
        const item = document.createElement("li")
        const text = document.createElement("span")
        const button = document.createElement("button")
        text.textContent = `${line.count} \u00d7 ${line.title}`
        button.textContent = `Take ${line.title} out`
        button.onclick = () => show("DELETE", line.name)
        item.append(text, button)
        return item
      }))
    }
    show()
  </script>
</body>
</html>
"""

app = Flask(__name__)


@app.get("/")
def index() -> str:
    session = request.environ["container.session"]
    return render_template_string(PAGE, goods=GOODS.values(), count=count_of(session), price=price)


@app.post("/add")
def add() -> Response:
    name = request.form.get("good", "")
    if name not in GOODS:
        abort(400)
    # Added up in the store: two tabs at the same moment count twice.
    request.environ["container.session"].increment(key_of(name))
    return redirect(url_for("index"), 303)
