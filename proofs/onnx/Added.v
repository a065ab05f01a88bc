(** * Tensors that are added to a sum

    - [extra]: a sum with units added to it; [convolution_extra]: a convolution with others is the
      convolution, and these added;
    - [with_tensors_near]: what [with_tensors] computes stands for the sums with these tensors
      added; [with_tensors_strip], [with_tensors_few]: so it is of stripped forms, with one term
      more for each.

    Rests on Outputs.v. *)

From Coq Require Import Reals List ZArith NArith Arith Lia Uint63.
From Lastbit Require Import Statement Totals operations.Convolution network.Near.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation.
From Lastbit Require Import onnx.File onnx.Units onnx.Reading onnx.Lists onnx.Outputs.
Import ListNotations.
Open Scope nat_scope.

Notation weighted := Convolution.weighted.

(** ** In Statement.v *)

Definition extra (o : operation) (js : list nat) : operation :=
  match o with Sum ws bs => Sum (ws ++ added js) bs | _ => o end.

Lemma added_app a b : added (a ++ b) = added a ++ added b.
Proof. unfold added, weighted. now rewrite !map_app. Qed.

Lemma extra_twice o a b : extra (extra o a) b = extra o (a ++ b).
Proof. destruct o; try reflexivity. cbn [extra]. now rewrite added_app, app_assoc. Qed.

Lemma extra_nothing o : extra o [] = o.
Proof.
  destruct o; try reflexivity. unfold extra, added, weighted. cbn [map]. now rewrite app_nil_r.
Qed.

Lemma both_index {A B C} (f : A -> B -> C) g l : both f (map g l) l = map (fun n => f (g n) n) l.
Proof. rewrite <- (map_id l) at 2. apply both_map. Qed.

Lemma convolution_extra t k h w fs others :
  convolution t k h w fs others =
  both (fun o n => extra o (others n)) (convolution t k h w fs (fun _ =>
    [])) (seq 0 (Convolution.outputs k * h * w)).
Proof.
  unfold convolution. rewrite both_index. apply map_ext. intros n.
  unfold output, extra. unfold added at 2, weighted at 3. cbn [map]. now rewrite app_nil_r.
Qed.

(** ** In the checker *)

Definition undivided (u : cunit) : Prop := exists ws bs, u = CLinear ws bs None.

Lemma both_length {A B C} (f : A -> B -> C) l : forall m, length m = length l ->
  length (both f l m) = length l.
Proof.
  induction l as [|x l IH]; intros [|y m] H; try discriminate; [reflexivity|]. cbn in *.
  now rewrite IH by congruence.
Qed.

Lemma with_term_near far o u j : near far o (denote u) -> undivided u ->
  near far (extra o [j]) (denote (with_term u (key j))).
Proof.
  intros N (ws & bs & ->). assert (E : denote (with_term (CLinear ws bs None) (key j)) =
    extra (denote (CLinear ws bs None)) [j]).
  { cbn [with_term denote extra divisor]. f_equal. unfold weighted, added,
      entries. rewrite map_app, map_app. cbn [map fst snd].
    now rewrite num_key, real_one. }
  rewrite E. remember (denote (CLinear ws bs None)) as o' eqn:Eo. clear E.
  destruct N as [o|ws' b b' H1 H2]; [constructor|]. cbn [extra]. now constructor.
Qed.

Lemma with_terms_near far : forall l us, Forall2 (near far) l (map denote us) ->
  Forall undivided us -> forall js,
  length js = length us ->
  Forall2 (near far) (both (fun o j => extra o [j]) l js) (map denote (both with_term us (map key
    js))).
Proof.
  intros l us H. remember (map denote us) as os eqn:E. revert us E.
  induction H as [|o o' l os N H IH]; intros [|u us] E U [|j js] L; try discriminate;
    [constructor|].
  injection E as -> ->. inversion_clear U as [|? ? U1 U2]. cbn [both map].
  constructor; [now apply with_term_near|].
  apply IH; [reflexivity|exact U2|]. now injection L.
Qed.

Lemma with_term_undivided u k : undivided u -> undivided (with_term u k).
Proof. intros (ws & bs & ->). cbn. eexists. eexists. reflexivity. Qed.

Lemma both_forall {A B C} (P : A -> Prop) (Q : C -> Prop) (f : A -> B -> C) l m :
  (forall x y, P x -> Q (f x y)) -> Forall P l -> Forall Q (both f l m).
Proof.
  intros H F. revert m. induction F as [|x l Hx _ IH]; intros [|y m]; cbn; constructor; auto.
Qed.

Lemma with_tensor_is us f : with_tensor us f = both with_term us (map key (map (fun n =>
  f + n) (seq 0 (length us)))).
Proof. unfold with_tensor. now rewrite keys_from_are, map_map. Qed.

Lemma with_tensor_length us f : length (with_tensor us f) = length us.
Proof. rewrite with_tensor_is. apply both_length. now rewrite !length_map, length_seq. Qed.

Theorem with_tensors_near far firsts : forall (g : nat -> operation) us,
  Forall2 (near far) (map g (seq 0 (length us))) (map denote us) -> Forall undivided us ->
  Forall2 (near far) (map (fun n => extra (g n) (map (fun f => f + n) firsts)) (seq 0 (length us)))
    (map denote (with_tensors us firsts)).
Proof.
  induction firsts as [|f firsts IH]; intros g us H U.
  - rewrite (map_ext _ g) by (intros; apply extra_nothing). exact H.
  - cbn [with_tensors fold_left]. fold (with_tensors (with_tensor us f) firsts).
    assert (K := with_terms_near far _ us H U (map (fun n =>
      f + n) (seq 0 (length us))) ltac:(now rewrite length_map, length_seq)).
    rewrite <- with_tensor_is, both_map, <- (with_tensor_length us f) in K. apply IH in K.
    + rewrite with_tensor_length in K. refine (eq_ind _ (fun l => Forall2 _ l _) K _ _).
      apply map_ext. intros n.
      apply extra_twice.
    + rewrite with_tensor_is. apply both_forall with undivided; [|exact U]. intros.
      now apply with_term_undivided.
Qed.

Lemma strip_term u k : strip (with_term u k) = with_term (strip u) k.
Proof. destruct u; try reflexivity. cbn. now rewrite filter_app. Qed.

Theorem with_tensors_strip firsts : forall us, map strip (with_tensors us firsts) =
  with_tensors (map strip us) firsts.
Proof.
  induction firsts as [|f firsts IH]; intros us; [reflexivity|]. cbn [with_tensors fold_left].
  fold (with_tensors (with_tensor us f) firsts).
  fold (with_tensors (with_tensor (map strip us) f) firsts).
  rewrite IH. f_equal. unfold with_tensor. rewrite length_map.
  generalize (keys_from f (length us)). clear.
  induction us as [|u us IH]; intros [|k ks]; try reflexivity. cbn. now rewrite strip_term, IH.
Qed.

Theorem with_tensors_few firsts n : forall us, Forall (fun u => terms_of u <= n) us ->
  Forall (fun u => terms_of u <= n + length firsts) (with_tensors us firsts).
Proof.
  revert n. induction firsts as [|f firsts IH]; intros n us H; [now rewrite Nat.add_0_r|].
  cbn [with_tensors fold_left length].
  fold (with_tensors (with_tensor us f) firsts). rewrite Nat.add_succ_r, <- Nat.add_succ_l.
  apply IH.
  unfold with_tensor. apply both_forall with (fun u => terms_of u <= n); [|exact H]. intros u k Hu.
  destruct u; cbn [with_term terms_of] in *; try lia. rewrite length_app. cbn. lia.
Qed.
