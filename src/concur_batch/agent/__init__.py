"""Agents: the built-in `react`, and what users need to write their own."""

from concur_batch.agent.base import Agent, agent

__all__ = ["Agent", "agent"]
