#!/usr/bin/env perl
# One line a second: what is printed leaves at once.
use strict;
use warnings;

$| = 1;
my $lines = ($ENV{PATH_INFO} // '') =~ m{^/(\d{1,2})$} ? $1 : 1;
print "Content-Type: text/plain\n\n";
for my $line (1 .. $lines) {
    print "Hello from Perl, line $line.\n";
    sleep 1 if $line < $lines;
}
