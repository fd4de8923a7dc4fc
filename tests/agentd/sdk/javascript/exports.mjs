// Prints the names that the client exports.
console.log(JSON.stringify(Object.keys(await import(process.env.AGENTD_CLIENT)).sort()));
