"""A forward proxy."""


class ForwardProxy: ...
