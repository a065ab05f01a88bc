(** * The terms of a sum: exact value, magnitudes, and the bound of the rounding

    - [error l] is [(1 + u)^n (u (worst + products) + eta flushes)] for the [n] terms that are not 0;
    - [one_addition]: what one rounded addition of two inexact operands is off by;
    - [error_join], [error_fma]: [error] covers one more addition, or one more fused multiply-add.

    Rests on WorstTree.v. The induction over all evaluations is in Sums.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree.
Import ListNotations.
Open Scope R_scope.

Lemma u_pos : 0 < u. Proof. unfold u. apply Rinv_0_lt_compat, pow_lt; lra. Qed.
Lemma eta_pos : 0 < eta. Proof. unfold eta. apply Rinv_0_lt_compat, pow_lt; lra. Qed.

(** ** Operands that are read *)

Lemma reads_refl x : reads x x. Proof. now left. Qed.

Lemma reads_trans x y z : reads x y -> reads y z -> reads x z.
Proof.
  intros [->|[-> H]]; [easy|]. intros [->|[-> _]]; right; auto.
Qed.

Lemma reads_error x y : reads x y -> Rabs (y - x) <= eta.
Proof.
  intros [->|[-> H]]; [rewrite Rminus_diag_eq, Rabs_R0 by easy; apply Rlt_le, eta_pos|].
  now rewrite Rminus_0_l, Rabs_Ropp.
Qed.

Lemma reads_abs x y : reads x y -> Rabs y <= Rabs x.
Proof. intros [->|[-> _]]; [lra|]. rewrite Rabs_R0. apply Rabs_pos. Qed.

(** A product of operands that are read: off by [eta] times the other operand. *)
Lemma reads_product w x w' x' : reads w w' -> reads x x' ->
  Rabs (w' * x' - w * x) <= eta * (Rabs w + Rabs x) /\ Rabs (w' * x') <= Rabs (w * x).
Proof.
  intros Hw Hx. split.
  - assert (He := eta_pos). assert (Pw := Rabs_pos w). assert (Px := Rabs_pos x).
    destruct Hw as [->|[-> Hw]].
    + replace (w * x' - w * x) with (w * (x' - x)) by ring. rewrite Rabs_mult.
      assert (K := reads_error _ _ Hx).
      assert (Rabs w * Rabs (x' - x) <= Rabs w * eta) by now apply Rmult_le_compat_l.
      assert (0 <= eta * Rabs x) by (apply Rmult_le_pos; lra). lra.
    + rewrite Rmult_0_l, Rminus_0_l, Rabs_Ropp, Rabs_mult.
      assert (Rabs w * Rabs x <= eta * Rabs x) by now apply Rmult_le_compat_r.
      assert (0 <= eta * Rabs w) by (apply Rmult_le_pos; lra). lra.
  - rewrite !Rabs_mult. apply Rmult_le_compat; try apply Rabs_pos; now apply reads_abs.
Qed.

(** ** Exact sum, magnitudes, and the bound *)

Definition magnitude (t : term) : R := Rabs (exact t).
Definition exact_sum (l : list term) : R := total (map exact l).
Definition size (l : list term) : R := total (map magnitude l).

Definition nonzero (m : R) : bool := if Req_EM_T m 0 then false else true.
Definition live (l : list term) : list R := filter nonzero (map magnitude l).

Definition products_of (t : term) : R := match t with Product _ _ => magnitude t | Constant _ => 0 end.
Definition flush_of (t : term) : R :=
  match t with
  | Product w x => if nonzero (magnitude t) then Rabs w + Rabs x + 2 else 0
  | Constant _ => 0
  end.

(** First-order error, then the error with its amplification. *)
Definition first_order (l : list term) : R :=
  u * (worst (live l) + total (map products_of l)) +
  eta * (total (map flush_of l) + 3 * INR (pred (length (live l)))).

Definition error (l : list term) : R := (1 + u) ^ length (live l) * first_order l.

Lemma magnitude_pos t : 0 <= magnitude t. Proof. apply Rabs_pos. Qed.

Lemma live_app l1 l2 : live (l1 ++ l2) = live l1 ++ live l2.
Proof. unfold live. now rewrite map_app, filter_app. Qed.

Lemma live_nonneg l : nonneg (live l).
Proof.
  apply Forall_forall. intros m H. apply filter_In in H. destruct H as [H _].
  apply in_map_iff in H. destruct H as [t [<- _]]. apply magnitude_pos.
Qed.

Lemma nonzero_0 m : nonzero m = false <-> m = 0.
Proof. unfold nonzero. now destruct Req_EM_T. Qed.

Lemma magnitude_0 t : magnitude t = 0 <-> vanishes t.
Proof.
  unfold magnitude, vanishes. split; [|intros ->; apply Rabs_R0].
  intros H. destruct (Req_dec (exact t) 0) as [E|E]; [exact E|]. now apply Rabs_no_R0 in E.
Qed.

Lemma nonzero_product w x : w * x <> 0 -> nonzero (magnitude (Product w x)) = true.
Proof.
  intros N. destruct (nonzero (magnitude (Product w x))) eqn:Z; [reflexivity|].
  now apply nonzero_0, magnitude_0 in Z.
Qed.

Lemma live_vanish l : all_vanish l <-> live l = [].
Proof.
  induction l as [|t l IH]; [split; [easy|constructor]|]. unfold live; simpl. fold (live l).
  destruct (nonzero (magnitude t)) eqn:E.
  - split; [|easy]. intros H. inversion_clear H. apply magnitude_0, nonzero_0 in H0. congruence.
  - apply nonzero_0, magnitude_0 in E. rewrite <- IH. split; [now inversion 1|now constructor].
Qed.

Lemma total_live l : total (live l) = size l.
Proof.
  unfold live, size. induction (map magnitude l) as [|m k IH]; [reflexivity|]. simpl.
  destruct (nonzero m) eqn:E; simpl; [now rewrite IH|]. apply nonzero_0 in E. rewrite IH, E. lra.
Qed.

Lemma size_pos l : 0 <= size l. Proof. rewrite <- total_live. apply total_pos, live_nonneg. Qed.

Lemma exact_sum_size l : Rabs (exact_sum l) <= size l.
Proof.
  unfold exact_sum, size. induction l as [|t l IH]; simpl; [rewrite Rabs_R0; lra|].
  apply Rle_trans with (1 := Rabs_triang _ _). unfold magnitude at 1. lra.
Qed.

Lemma vanish_sums l : all_vanish l -> exact_sum l = 0 /\ total (map products_of l) = 0.
Proof.
  unfold exact_sum. induction 1 as [|t l H _ [IH1 IH2]]; simpl; [lra|]. rewrite IH1, IH2.
  split; [rewrite H; lra|]. destruct t; simpl; [|lra]. apply magnitude_0 in H. lra.
Qed.

Lemma products_pos l : 0 <= total (map products_of l).
Proof.
  apply total_pos, Forall_forall. intros m H. apply in_map_iff in H. destruct H as [[w x|b] [<- _]]; simpl.
  - apply magnitude_pos.
  - lra.
Qed.

Lemma flush_pos l : 0 <= total (map flush_of l).
Proof.
  apply total_pos, Forall_forall. intros m H. apply in_map_iff in H. destruct H as [[w x|b] [<- _]]; simpl.
  - destruct nonzero; generalize (Rabs_pos w) (Rabs_pos x); lra.
  - lra.
Qed.

Lemma first_order_pos l : 0 <= first_order l.
Proof.
  unfold first_order. generalize u_pos eta_pos (worst_pos _ (live_nonneg l)) (products_pos l) (flush_pos l)
    (pos_INR (pred (length (live l)))). intros.
  apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra.
Qed.

Lemma pow_1u n : 1 <= (1 + u) ^ n. Proof. apply pow_R1_Rle. generalize u_pos; lra. Qed.

Lemma error_pos l : 0 <= error l.
Proof. unfold error. apply Rmult_le_pos; [generalize (pow_1u (length (live l))); lra|apply first_order_pos]. Qed.

(** ** One more addition *)

(** Everything depends on the terms only, not on their order. *)
Lemma permuted l l' : Permutation l l' ->
  exact_sum l = exact_sum l' /\ size l = size l' /\ error l = error l'.
Proof.
  intros P. assert (L : Permutation (live l) (live l')).
  { unfold live. assert (Q := Permutation_map magnitude P).
    induction Q as [|m k k' _ IH|m m' k|k k' k'' _ IH1 _ IH2]; simpl; auto.
    - destruct (nonzero m); auto.
    - destruct (nonzero m), (nonzero m'); auto using perm_swap.
    - now apply perm_trans with (filter nonzero k'). }
  unfold exact_sum, size, error, first_order.
  rewrite (Permutation_length L), (worst_perm _ _ L).
  assert (T : forall f, total (map f l) = total (map f l')) by (intros f; now apply total_perm, Permutation_map).
  now rewrite !T.
Qed.

Lemma amplify n k e : (n <= k)%nat -> 0 <= e -> (1 + u) ^ n * e <= (1 + u) ^ k * e.
Proof.
  intros H He. apply Rmult_le_compat_r; [exact He|]. apply Rle_pow; [generalize u_pos; lra|exact H].
Qed.

(** If [a] and [b] are within [Ea] and [Eb] of sums of magnitudes [Ma] and [Mb], and what is added
    first-order fits, the rounded sum is within [(1 + u) (Ea + Eb) + u (Ma + Mb) + 3 eta]. *)
Lemma one_addition a b sa sb Ma Mb Ea Eb p' q' r :
  Rabs (a - sa) <= Ea -> Rabs sa <= Ma -> Rabs (b - sb) <= Eb -> Rabs sb <= Mb ->
  reads a p' -> reads b q' -> Rabs (r - (p' + q')) <= u * Rabs (p' + q') + eta ->
  Rabs (p' + q') <= Ma + Ea + (Mb + Eb) /\
  Rabs (r - (sa + sb)) <= (1 + u) * (Ea + Eb) + u * (Ma + Mb) + 3 * eta.
Proof.
  intros Ha Hsa Hb Hsb Ra Rb Hr.
  assert (Aa : Rabs a <= Ma + Ea).
  { replace a with (a - sa + sa) by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  assert (Ab : Rabs b <= Mb + Eb).
  { replace b with (b - sb + sb) by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  assert (T := Rabs_triang p' q'). assert (Pa := reads_abs _ _ Ra). assert (Pb := reads_abs _ _ Rb).
  split; [lra|]. replace (r - (sa + sb)) with
    ((r - (p' + q')) + ((p' - a) + (a - sa) + ((q' - b) + (b - sb)))) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _).
  assert (D := Rabs_triang (p' - a + (a - sa)) (q' - b + (b - sb))).
  assert (D1 := Rabs_triang (p' - a) (a - sa)). assert (D2 := Rabs_triang (q' - b) (b - sb)).
  assert (ea := reads_error _ _ Ra). assert (eb := reads_error _ _ Rb).
  assert (u * Rabs (p' + q') <= u * (Ma + Ea + (Mb + Eb))) by (apply Rmult_le_compat_l; [apply Rlt_le, u_pos|lra]).
  lra.
Qed.

Lemma error_join l1 l2 : ~ all_vanish l1 -> ~ all_vanish l2 ->
  (1 + u) * (error l1 + error l2) + u * (size l1 + size l2) + 3 * eta <= error (l1 ++ l2).
Proof.
  rewrite !live_vanish. intros N1 N2. unfold error. rewrite live_app, app_length.
  assert (L1 : (0 < length (live l1))%nat) by (destruct (live l1); [easy|simpl; lia]).
  assert (L2 : (0 < length (live l2))%nat) by (destruct (live l2); [easy|simpl; lia]).
  set (n1 := length (live l1)) in *. set (n2 := length (live l2)) in *.
  assert (F : first_order l1 + first_order l2 + (u * (size l1 + size l2) + 3 * eta) <= first_order (l1 ++ l2)).
  { unfold first_order. rewrite live_app, app_length, !map_app, !total_app. fold n1 n2.
    assert (W := worst_join _ _ (live_nonneg l1) (live_nonneg l2) N1 N2).
    rewrite total_app, !total_live in W.
    replace (pred (n1 + n2)) with (S (pred n1 + pred n2)) by lia. rewrite S_INR, plus_INR.
    assert (u * (worst (live l1) + worst (live l2) + (size l1 + size l2)) <= u * worst (live l1 ++ live l2))
      by (apply Rmult_le_compat_l; [apply Rlt_le, u_pos|exact W]). lra. }
  assert (K1 := amplify (S n1) (n1 + n2) (first_order l1) ltac:(lia) (first_order_pos l1)).
  assert (K2 := amplify (S n2) (n1 + n2) (first_order l2) ltac:(lia) (first_order_pos l2)).
  assert (K3 : 0 <= u * (size l1 + size l2) + 3 * eta).
  { generalize u_pos eta_pos (size_pos l1) (size_pos l2). intros.
    assert (0 <= u * (size l1 + size l2)) by (apply Rmult_le_pos; lra). lra. }
  assert (K4 := amplify 0 (n1 + n2) _ ltac:(lia) K3). rewrite pow_O, Rmult_1_l in K4.
  assert (K5 := Rmult_le_compat_l ((1 + u) ^ (n1 + n2)) _ _ ltac:(generalize (pow_1u (n1 + n2)); lra) F).
  change ((1 + u) ^ S n1) with ((1 + u) * (1 + u) ^ n1) in K1.
  change ((1 + u) ^ S n2) with ((1 + u) * (1 + u) ^ n2) in K2. lra.
Qed.

Lemma error_fma w x l : w * x <> 0 ->
  (1 + u) * error l + u * (Rabs (w * x) + size l) + eta * (Rabs w + Rabs x + 2) <= error (Product w x :: l).
Proof.
  intros N. unfold error.
  assert (Z : nonzero (magnitude (Product w x)) = true) by now apply nonzero_product.
  assert (E : live (Product w x :: l) = Rabs (w * x) :: live l) by (unfold live; simpl; now rewrite Z).
  rewrite E. cbn [length]. set (n := length (live l)). set (m := Rabs (w * x)) in *.
  assert (Hm : 0 <= m) by apply Rabs_pos.
  assert (F : first_order l + (u * (m + size l) + eta * (Rabs w + Rabs x + 2)) <= first_order (Product w x :: l)).
  { unfold first_order. rewrite E. cbn [length map products_of flush_of total fold_right pred]. rewrite Z.
    change (magnitude (Product w x)) with m. fold n.
    fold (total (map products_of l)). fold (total (map flush_of l)).
    assert (W : worst (live l) + size l <= worst (m :: live l)).
    { destruct (live l) as [|m' k] eqn:El.
      - rewrite <- total_live, El. cbn. lra.
      - rewrite <- total_live, El.
        assert (Hn := live_nonneg l). rewrite El in Hn.
        generalize (worst_cons m (m' :: k) Hm Hn ltac:(easy)). lra. }
    assert (u * (worst (live l) + size l) <= u * worst (m :: live l))
      by (apply Rmult_le_compat_l; [apply Rlt_le, u_pos|exact W]).
    assert (eta * INR (pred n) <= eta * INR n)
      by (apply Rmult_le_compat_l; [apply Rlt_le, eta_pos|apply le_INR; lia]). lra. }
  assert (K3 : 0 <= u * (m + size l) + eta * (Rabs w + Rabs x + 2)).
  { generalize u_pos eta_pos (size_pos l) (Rabs_pos w) (Rabs_pos x). intros.
    apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  assert (K4 := amplify 0 (S n) _ ltac:(lia) K3). rewrite pow_O, Rmult_1_l in K4.
  assert (K5 := Rmult_le_compat_l ((1 + u) ^ S n) _ _ ltac:(generalize (pow_1u (S n)); lra) F).
  change ((1 + u) ^ S n) with ((1 + u) * (1 + u) ^ n) in *. lra.
Qed.
