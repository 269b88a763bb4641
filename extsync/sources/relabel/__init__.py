"""Relabelling: rules that turn the labels of backends into their fields, in Prometheus's words and meaning. Pure.

The labels of a backend are its metadata and, under their own names, its fields that are set; a field comes before a
piece of metadata of the same name. ``__address__`` is its address and port as one text. Only a rule that writes one of
the field names changes a field, so that metadata which happens to be called ``zone`` changes nothing by itself.
``labeldrop`` and ``labelkeep`` take away metadata, never a field.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config
"""

from extsync.sources.relabel.relabelling import Relabelling

__all__ = ["Relabelling"]
