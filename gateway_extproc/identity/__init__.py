"""Who is this, and what may they: authenticators, and the tables that make a permit.

Pure: no I/O and no clock.  An authenticator verifies one kind of credential with what is
already in memory and says only names; ``Directory`` turns names into a ``Permit``.
"""
