"""The configuration of a node: its schema, reading it, and where each value came from."""

from node.settings.cluster_files import admin_token, warnings
from node.settings.effective import Effective
from node.settings.load import load
from node.settings.schema import Settings
from node.settings.worker import gateway_settings, topic_rules

__all__ = ["Effective", "Settings", "admin_token", "gateway_settings", "load", "topic_rules", "warnings"]
