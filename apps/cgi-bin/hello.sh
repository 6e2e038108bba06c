#!/bin/sh
echo "Content-Type: text/plain; charset=utf-8"
echo
echo "Hello from sh, ${QUERY_STRING:-whoever you are}."
