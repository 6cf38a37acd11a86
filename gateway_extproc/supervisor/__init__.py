"""Processes: one worker a core, restarted when they die, drained when they stop.

Also the admin server (metrics, health, status).  This room knows no policy; what a
worker runs is handed to it.
"""
