import { EngineError } from './engine.error.ts';

export function badConfig(message: string): EngineError {
  return new EngineError('BadConfig', `config.json: ${message}`);
}

export function unsupportedConfig(message: string): EngineError {
  return new EngineError('UnsupportedArchitecture', `config.json: ${message}`);
}
