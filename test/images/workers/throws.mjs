// Cannot even start.
throw new Error('no such library');
