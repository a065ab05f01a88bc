(** * Protocol buffers, in the one way in which all readers agree

    - [fields]: a message as its fields, each with the place where its content stands;
    - [message]: the fields of a message whose fields are listed, each with what it may hold.

    Libraries differ in what they do with a message that is not quite in order: they pass over
    fields that they do not know or whose content is of another kind, cut numbers to size, merge
    what stands twice, take the last of two numbers or the first. So [None] stands here for a field
    that is not listed, or of another kind; a field that stands twice, if it is not one of many;
    numbers packed in part; field numbers of more than 29 bits; integers that are not the shortest,
    or have more than 64 bits; lengths that end elsewhere than the message; text that is not ASCII.

    A definition, to be read. Follows protobuf.py. *)

From Coq Require Import List ZArith NArith Bool Uint63 String Ascii.
Import ListNotations.
Open Scope N_scope.

Definition bytes := list int.
Definition n_of (b : int) : N := Z.to_N (to_Z b).
Definition skip (n : N) (l : bytes) : bytes := N.iter n (@tl int) l.
Definition take (n : N) (l : bytes) : bytes := firstn (N.to_nat n) l.

Definition bind {A B} (a : option A) (f : A -> option B) : option B :=
  match a with Some x => f x | None => None end.
Notation "'let*' x := a 'in' b" := (bind a (fun x => b))
  (at level 200, x pattern, right associativity).
Notation "'only' c 'then' b" := (if c then b else None) (at level 200, right associativity).

Fixpoint all_some {A} (l : list (option A)) : option (list A) :=
  match l with
  | [] => Some []
  | Some x :: l' => let* xs := all_some l' in Some (x :: xs)
  | None :: _ => None
  end.

(** ** Fields *)

(** An integer of at most 64 bits: its value, its length, and what follows. Each byte holds 7 bits,
    the first one the lowest. *)
Fixpoint digits (most : nat) (l : bytes) : option (N * N * bytes) :=
  match most, l with
  | S most', b :: l' =>
      if n_of b <? 128 then Some (n_of b, 1, l') else
      let* (v, k, l'') := digits most' l' in
      only negb (v =? 0) then Some (n_of b - 128 + 128 * v, k + 1, l'')
  | _, _ => None
  end.

Definition integer (l : bytes) : option (N * N * bytes) :=
  let* (v, k, l') := digits 10 l in only v <? 2 ^ 64 then Some (v, k, l').

(** What a field holds: a number; or a chunk of the file, its place, its length, and the file from
    there on. *)
Inductive content := Number (v : N) | Chunk (start length : N) (body : bytes).
Definition field : Type := N * content.

(** From byte [at_] to [end_] of the file. *)
Fixpoint fields (fuel : nat) (at_ end_ : N) (l : bytes) : option (list field) :=
  match fuel with
  | O => None
  | S fuel' =>
      if at_ =? end_ then Some [] else
      let* (key, k, l1) := integer l in
      let* (v, k', l2) := integer l1 in
      let n := key / 8 in let here := at_ + k + k' in
      only (0 <? n) && (key <? 2 ^ 32) then
      match key mod 8 with
      | 0 =>
          only here <=? end_ then
          let* fs := fields fuel' here end_ l2 in Some ((n, Number v) :: fs)
      | 2 =>
          only here + v <=? end_ then
          let* fs := fields fuel' (here + v) end_ (skip v l2) in Some ((n, Chunk here v l2) :: fs)
      | _ => None
      end
  end.

Definition many : nat := 200 * 100.

(** ** Messages *)

(** What a field may hold: one number; numbers, one by one or packed; one chunk; or chunks. *)
Inductive kind := OneNumber | Numbers | OneChunk | Chunks.
Definition schema : Type := list (N * kind).

(** The contents of all fields of one number. *)
Definition chunks (n : N) (fs : list field) : list content :=
  map snd (filter (fun f => fst f =? n) fs).

Definition is_number (c : content) : bool := match c with Number _ => true | _ => false end.

Definition obeys (k : kind) (cs : list content) : bool :=
  match k, cs with
  | _, [] => true
  | OneNumber, [c] => is_number c
  | OneChunk, [c] => negb (is_number c)
  | Chunks, _ => forallb (fun c => negb (is_number c)) cs
  | Numbers, [_] => true
  | Numbers, _ => forallb is_number cs
  | _, _ => false
  end.

Definition message (s : schema) (c : content) : option (list field) :=
  match c with
  | Number _ => None
  | Chunk start length body =>
      let* fs := fields many start (start + length) body in
      only forallb (fun f => existsb (fun e => fst e =? fst f) s) fs &&
           forallb (fun e => obeys (snd e) (chunks (fst e) fs)) s then
      Some fs
  end.

(** ** What stands in them *)

Definition number_at (n : N) (fs : list field) : option N :=
  match chunks n fs with [Number v] => Some v | _ => None end.

Definition text (c : content) : option string :=
  match c with
  | Number _ => None
  | Chunk _ length body =>
      let l := map n_of (take length body) in
      only forallb (fun b => (0 <? b) && (b <? 128)) l then
      Some (string_of_list_ascii (map ascii_of_N l))
  end.
Definition texts (n : N) (fs : list field) : option (list string) :=
  all_some (map text (chunks n fs)).

(** "" where there is none. *)
Definition text_at (n : N) (fs : list field) : option string :=
  match chunks n fs with [] => Some ""%string | [c] => text c | _ => None end.

Fixpoint integers (fuel : nat) (at_ end_ : N) (l : bytes) : option (list N) :=
  match fuel with
  | O => None
  | S fuel' =>
      if at_ =? end_ then Some [] else
      let* (v, k, l') := integer l in
      only at_ + k <=? end_ then
      let* vs := integers fuel' (at_ + k) end_ l' in Some (v :: vs)
  end.

Definition numbers (n : N) (fs : list field) : option (list N) :=
  match chunks n fs with
  | [Chunk start length body] => integers many start (start + length) body
  | cs => all_some (map (fun c => match c with Number v => Some v | _ => None end) cs)
  end.
