"""Queries in VNN-LIB 2.0 about two copies of one network: read, answered, and written."""

from lastbit.queries.answer import Answer as Answer, answer as answer
from lastbit.queries.export import Instance as Instance, export as export
from lastbit.queries.parsed import read_query as read_query
from lastbit.queries.syntax import Query as Query
