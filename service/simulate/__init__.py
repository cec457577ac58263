"""A simulated shop: everything its machines write in a day, and incidents whose truth is known."""

from service.simulate.simulation import INCIDENTS, Chunk, Planted, Simulation, simulate

__all__ = ["INCIDENTS", "Chunk", "Planted", "Simulation", "simulate"]
