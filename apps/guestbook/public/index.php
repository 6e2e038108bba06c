<?php
declare(strict_types=1);
// The front controller: whatever is no file comes here, and the target says what was asked for.

$file = $_SERVER['GUESTBOOK'] ?? sys_get_temp_dir() . '/guestbook.jsonl';
$base = rtrim(dirname($_SERVER['SCRIPT_NAME']), '/');
$route = substr(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) ?: '/', strlen($base));

function text(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE | ENT_HTML5);
}

function entries(string $file): array
{
    $lines = is_file($file) ? file($file, FILE_IGNORE_NEW_LINES) : [];
    return array_map(fn ($line) => json_decode($line, true), $lines);
}

function add(string $file, array $entry): int
{
    $book = fopen($file, 'c+');
    flock($book, LOCK_EX);
    $number = substr_count(stream_get_contents($book), "\n") + 1;
    fwrite($book, json_encode($entry, JSON_THROW_ON_ERROR) . "\n");
    fclose($book);
    return $number;
}

function page(string $base, string $title, string $content, int $status = 200): never
{
    http_response_code($status);
    header('Content-Type: text/html; charset=utf-8');
    header("Content-Security-Policy: default-src 'none'; style-src 'self'; form-action 'self'");
    echo "<!doctype html>\n<html lang=\"en\">\n<title>$title</title>\n",
        "<link rel=\"stylesheet\" href=\"$base/style.css\">\n<h1><a href=\"$base/\">$title</a></h1>\n$content</html>\n";
    exit;
}

function show(string $base, int $number, array $entry): string
{
    return "<article><p>" . nl2br(text($entry['words'])) . "</p>\n<footer><a href=\"$base/entries/$number\">"
        . text($entry['name']) . ', ' . gmdate('j F Y', $entry['time']) . "</a></footer></article>\n";
}

if ($route === '/sign' && $_SERVER['REQUEST_METHOD'] === 'POST') {
    // Forms of other sites do not sign: browsers say where a form was.
    if (!in_array($_SERVER['HTTP_SEC_FETCH_SITE'] ?? 'none', ['same-origin', 'none'], true)) {
        page($base, 'Guest book', "<p>Please sign here, not elsewhere.</p>\n", 403);
    }
    $name = trim($_POST['name'] ?? '');
    $words = trim($_POST['words'] ?? '');
    if ($name === '' || $words === '' || strlen($name) > 100 || strlen($words) > 2000
        || !preg_match('//u', $name . $words)) {
        page($base, 'Guest book', "<p>Expected a name and a few words.</p>\n", 422);
    }
    $number = add($file, ['name' => $name, 'words' => $words, 'time' => time()]);
    header("Location: $base/entries/$number", true, 303);
    exit;
}
if (preg_match('#^/entries/([1-9][0-9]{0,8})$#', $route, $found)) {
    $entry = entries($file)[$found[1] - 1] ?? null;
    if ($entry !== null) {
        page($base, 'Guest book', show($base, (int) $found[1], $entry));
    }
}
if ($route !== '/' && $route !== '/index.php') {
    page($base, 'Guest book', "<p>There is no such page.</p>\n", 404);
}
$all = entries($file);
$shown = '';
for ($number = count($all); $number > max(0, count($all) - 20); $number--) {
    $shown .= show($base, $number, $all[$number - 1]);
}
page($base, 'Guest book', <<<FORM
    <form method="post" action="$base/sign">
    <p><label>Name <input name="name" maxlength="100" required></label></p>
    <p><label>Words <textarea name="words" rows="4" maxlength="2000" required></textarea></label></p>
    <p><button>Sign</button></p>
    </form>
    $shown
    FORM);
